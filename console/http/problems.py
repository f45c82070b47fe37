"""Errors of the frame for programs: problem details in JSON (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import Response

from postscan.console.api import problems
from postscan.console.errors import PageError


def problem(error: PageError, path: str, reference: str = "") -> Response:
    """Return an error as a problem document; *reference* leads to the line of the log, "" if there is none."""
    detail = " ".join(part for part in (error.what, error.remedy) if part)
    further: dict[str, object] = {"reference": reference} if reference else {}
    if error.retry_seconds:
        further["retry_after"] = error.retry_seconds
    response = problems.of_status(error.status, detail, path, **further)
    response.headers.update(fields(error))
    return response


def fields(error: PageError) -> dict[str, str]:
    """Return the fields of the response that go with an error."""
    found = {}
    if error.retry_seconds:
        found["retry-after"] = str(error.retry_seconds)
    if error.status == HTTPStatus.UNAUTHORIZED:
        found["www-authenticate"] = 'Bearer realm="postscan"'
    return found
