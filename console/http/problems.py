"""Errors for programs: problem details in JSON (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from postscan.console.errors import PageError

MEDIA_TYPE = "application/problem+json"


def problem(error: PageError, path: str, reference: str = "") -> Response:
    """Return an error as a problem document; *reference* leads to the line of the log, "" if there is none."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": " ".join(part for part in (error.what, error.remedy) if part),
        "instance": path,
    }
    if reference:
        document["reference"] = reference
    return JSONResponse(document, error.status, fields(error), media_type=MEDIA_TYPE)


def fields(error: PageError) -> dict[str, str]:
    """Return the fields of the response that go with an error."""
    found = {}
    if error.retry_seconds:
        found["retry-after"] = str(error.retry_seconds)
    if error.status == HTTPStatus.UNAUTHORIZED:
        found["www-authenticate"] = 'Bearer realm="postscan"'
    return found
