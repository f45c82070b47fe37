"""The audit trail: its lines by what is wanted of them, in pages; and as a CSV file."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response, StreamingResponse

from postscan.console.errors import PageError
from postscan.console.pages.administration import audit_csv
from postscan.console.rendering import render
from postscan.console.request import ConsoleRequest
from postscan.core.model.records import AuditLine
from postscan.core.service.administration.audit_trail import AuditQuery

PATH: Final = "/audit"
FIELDS: Final = ("who", "verb", "outcome", "token", "from", "to")
OUTCOMES: Final = ("done", "refused")

_LAST: Final = 1 << 62
_TOKEN: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def show(request: ConsoleRequest) -> Response:
    """Return a page of lines, newest first."""
    query, wrong = _query(request)
    before = _before(request.query("before"))
    found = None if wrong else request.console.engine.audit_trail.search(request.by, query, before)
    values = _values(request)
    return render(
        request,
        "administration/audit.html",
        400 if wrong else 200,
        values=values,
        wrong=wrong,
        lines=found.lines if found else [],
        is_job=_is_job,
        outcomes=OUTCOMES,
        is_filtered=bool(values),
        is_first=before is None,
        next_url=_url(PATH, {**values, "before": str(found.before)}) if found and found.before else "",
        first_url=_url(PATH, values),
        csv_url=_url(f"{PATH}.csv", values),
        most=audit_csv.MOST,
    )


def download(request: ConsoleRequest) -> Response:
    """Return the wanted lines as a CSV file, which is read and sent in parts."""
    query, wrong = _query(request)
    for name in wrong:
        raise PageError(400, f"{name}: {wrong[name]}", "Correct it, then load the file again.")
    lines = request.console.engine.audit_trail.every(request.by, query, audit_csv.MOST + 1)
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    return StreamingResponse(audit_csv.parts(lines), media_type="text/csv", headers=headers)


def _values(request: ConsoleRequest) -> dict[str, str]:
    """Return the fields of the query that are set."""
    values = {name: request.query(name).strip() for name in FIELDS}
    return {name: value for name, value in values.items() if value}


def _query(request: ConsoleRequest) -> tuple[AuditQuery, dict[str, str]]:
    """Return what is wanted, and by the names of fields what is wrong with them."""
    values, wrong = _values(request), {}
    moments: dict[str, datetime] = {}
    for name in ("from", "to"):
        try:
            if name in values:
                moments[name] = _moment(values[name])
        except (ValueError, OverflowError):
            wrong[name] = "expected a date or a time in UTC: 2026-01-31 or 2026-01-31T08:00"
    query = AuditQuery(
        who=values.get("who", ""),
        verb=values.get("verb", ""),
        outcome=values.get("outcome", ""),
        token=values.get("token", ""),
        begin=moments.get("from"),
        end=moments.get("to"),
    )
    return query, wrong


def _moment(text: str) -> datetime:
    """Return the moment that a date or a time names; without a zone it is in UTC. Raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _is_job(line: AuditLine) -> bool:
    """Return whether the line is about a job, not about another thing with an identifier of the same form."""
    return _TOKEN.fullmatch(line.token) is not None and line.verb != "unsubscribe"


def _before(text: str) -> int | None:
    """Return the number of the line before which the page begins; raise `PageError`."""
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:20]) < _LAST):
        raise PageError(400, "The address of this page is not complete.", "Begin with the first page.")
    return int(text)


def _url(path: str, values: dict[str, str]) -> str:
    return f"{path}?{urlencode(values)}" if values else path
