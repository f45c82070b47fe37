"""The page of a job: its timeline with receipts, documents, deliveries, log, events and audit lines."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from starlette.responses import Response

from postscan.console.live.regions import stream_url
from postscan.console.pages.jobs import charts
from postscan.console.pages.jobs.charts import ChartBar
from postscan.console.pages.jobs.timeline import Timeline, TimelineRow, timeline
from postscan.console.rendering import render
from postscan.console.request import Console, ConsoleRequest
from postscan.core.model.principal import Principal, Right
from postscan.core.model.process import short_name
from postscan.core.model.records import EventRow, JobLogLine
from postscan.core.service.administration.actions import actions, is_unfinished

MOST_LINES: Final = 1000
"""Lines of the log that the page has; the last ones."""

MOST_ROWS: Final = 500
"""Documents, deliveries, events, and lines of the audit trail that the page has, of each."""


class DrawnRow(NamedTuple):
    """A row of the timeline with its bar, and the places of its deliveries, as attributes."""

    row: TimelineRow
    bar: ChartBar | None
    marks: tuple[str, ...]


class Tick(NamedTuple):
    """A mark of the scale: where it is, and its seconds."""

    x: str
    seconds: float


def show(request: ConsoleRequest) -> Response:
    """Show one job."""
    console, engine, by = request.console, request.console.engine, request.by
    values = region(console, by, request.path_value("token"))
    token, position = values["job"].token, _position(request.query("log"))
    live = {"job": token}
    if by.may(Right.OPERATE):
        live["log"] = token if position is None else f"{token}/{position + 1}"
        values |= log_region(console, by, live["log"])
    return render(
        request,
        "jobs/job.html",
        live=stream_url(*live, **live),
        origin=engine.origins.of_job(token, by),
        sees_lines=by.may(Right.OPERATE),
        position=position,
        audited=engine.service.audit(by, token, MOST_ROWS),
        most=MOST_ROWS,
        **values,
    )


def region(console: Console, by: Principal, token: str) -> dict[str, Any]:
    """Return the values of `regions/job.html`: what changes while the job runs. Raises `JobNotFound`, `Throttled`."""
    service = console.engine.service
    job = service.job(token, by)
    events, deliveries = service.events(token, by), service.deliveries(token, by)
    found = timeline(job, events, deliveries, console.clock.now())
    return {
        "job": job,
        "actions": actions(job, by),
        "unfinished": is_unfinished(job),
        "scale": found,
        "drawn": [_drawn(row, found) for row in found.rows],
        "ticks": [Tick(charts.position(one, found.seconds), one) for one in found.ticks],
        "deliveries": deliveries,
        "notes": service.notes(token, by),
        "events": events,
        "event_text": event_text,
        "short_name": short_name,
    }


def log_region(console: Console, by: Principal, argument: str) -> dict[str, Any]:
    """Return the values of `regions/log.html`: the last lines of a job, or of one of its filters (`TOKEN/2`).

    Raises as `region`.
    """
    token, _, number = argument.partition("/")
    position = _position(number)
    lines = [line for line in console.engine.service.lines(token, by).lines if position in (None, line.position)]
    return {"lines": lines[-MOST_LINES:], "earlier": max(len(lines) - MOST_LINES, 0), "line_text": line_text}


def event_text(event: EventRow) -> str:
    """Return the fields of an event as text; filters are counted from 1."""
    fields = event.fields
    reasons = f" ({', '.join(fields['reasons'])})" if fields.get("reasons") else ""
    match event.kind:
        case "ImageReceived":
            return f"image {fields['document_id']}, {fields['size']} bytes"
        case "FilterStateChanged":
            return f"filter {fields['position'] + 1}: {fields['state']}{reasons}"
    return f"{fields.get('state', '')}{reasons}"


def line_text(line: JobLogLine) -> str:
    """Return the text of a line of the log, with what is missing of it."""
    if line.dropped_lines:
        return f"({line.dropped_lines} lines of {line.dropped_bytes} bytes are missing here)"
    return line.text + (f" ({line.dropped_bytes} more bytes)" if line.dropped_bytes else "")


def _drawn(row: TimelineRow, scale: Timeline) -> DrawnRow:
    bar = charts.bar(row.bar, scale.seconds) if row.bar is not None else None
    return DrawnRow(row, bar, tuple(charts.position(mark, scale.seconds) for mark in row.marks))


def _position(number: str) -> int | None:
    """Return the position of the filter with this number; None for all filters."""
    return int(number) - 1 if number.isdecimal() and len(number) < 5 else None
