"""Errors of the API as problem details (RFC 9457). None of them repeats what was sent, which may be secret."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from postscan.core.errors import (
    AccountNotFound,
    InvalidArgument,
    JobNotFound,
    NotAdministrator,
    NotInstalled,
    PluginError,
    PostscanError,
    SpoolFull,
    StoreBusy,
    StoredProcessChanged,
    StoredProcessInvalid,
    SubscriptionNotFound,
    Throttled,
    Unavailable,
    WrongState,
)

MEDIA_TYPE: Final = "application/problem+json"

TYPE: Final = "urn:postscan:problem:"
"""Begins the type of each problem. A URN, since no host serves a page about it; docs/api.md has the list."""

RETRY_SECONDS: Final = 2
"""When a caller may try again what the server could not do now."""


class Problem(BaseModel):
    """A problem of one request (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Identifies the kind of the problem.")
    title: str = Field(description="The kind in words; the same for each problem of a type.")
    status: int = Field(description="The status code of the response.")
    detail: str = Field(description="What is wrong with this request, or what to do.")
    instance: str = Field(description="The path of the request.")


class ProblemKind(NamedTuple):
    """One kind of problem: the end of its type, its status, its title."""

    name: str
    status: int
    title: str


INVALID: Final = ProblemKind("invalid-argument", 400, "An argument of the request is not valid")
NO_IDENTITY: Final = ProblemKind("not-identified", 401, "The request has no valid token")
MISSING_RIGHT: Final = ProblemKind("missing-right", 403, "The caller may not do this")
NOT_FOUND: Final = ProblemKind("not-found", 404, "There is no such thing")
NO_METHOD: Final = ProblemKind("method-not-allowed", 405, "The path does not have this method")
WRONG_STATE: Final = ProblemKind("wrong-state", 409, "The state does not allow this")
CHANGED: Final = ProblemKind("changed", 409, "It was changed since it was read")
TOO_LARGE: Final = ProblemKind("too-large", 413, "The request is too large")
WRONG_HOST: Final = ProblemKind("wrong-host", 421, "The request is for another host")
UNUSABLE: Final = ProblemKind("unusable", 422, "What is stored cannot be used")
THROTTLED: Final = ProblemKind("throttled", 429, "Too many requests of this kind")
FAILED: Final = ProblemKind("failed", 500, "The server has failed")
BUSY: Final = ProblemKind("busy", 503, "The server cannot do this now")
NOT_INSTALLED: Final = ProblemKind("not-installed", 503, "A library is not installed on the server")

KINDS: Final = (
    INVALID,
    NO_IDENTITY,
    MISSING_RIGHT,
    NOT_FOUND,
    NO_METHOD,
    WRONG_STATE,
    CHANGED,
    TOO_LARGE,
    WRONG_HOST,
    UNUSABLE,
    THROTTLED,
    FAILED,
    BUSY,
    NOT_INSTALLED,
)
"""All kinds, by status."""

_OF_ERRORS: Final[tuple[tuple[type[PostscanError], ProblemKind, str], ...]] = (
    (JobNotFound, NOT_FOUND, "there is no such job, or it is not the caller's"),
    (SubscriptionNotFound, NOT_FOUND, "there is no such subscription, or it has ended"),
    (AccountNotFound, NOT_FOUND, "there is no such account"),
    (NotAdministrator, MISSING_RIGHT, "the caller's role does not have the right to do this"),
    (WrongState, WRONG_STATE, ""),
    (InvalidArgument, INVALID, ""),
    (Throttled, THROTTLED, "too many requests for what is not the caller's"),
    (StoredProcessInvalid, UNUSABLE, "the stored scan process cannot be used; see its problem in the list"),
    (StoredProcessChanged, CHANGED, "the stored scan process was changed meanwhile; read it again"),
    (SpoolFull, BUSY, "the spool has no room"),
    (StoreBusy, BUSY, "the database does not answer, or has no room; try again"),
    (Unavailable, BUSY, "the server cannot do this now; try again"),
    (NotInstalled, NOT_INSTALLED, ""),
    (PluginError, UNUSABLE, "a plugin cannot be used"),
)
"""The kind and the detail of each error, the more special errors first; no detail: that of `_detail`."""


def problem(kind: ProblemKind, detail: str, path: str, **further: Any) -> Response:
    """Return the response of a problem; *further* are members of its kind, `retry_after` also a header."""
    body = Problem(type=TYPE + kind.name, title=kind.title, status=kind.status, detail=detail, instance=path, **further)
    headers = {"Retry-After": str(further["retry_after"])} if "retry_after" in further else {}
    return Response(json.dumps(body.model_dump()), kind.status, headers, MEDIA_TYPE)


def of_error(error: PostscanError, path: str) -> Response:
    """Return the response to an error of the core."""
    kind, detail = next(
        ((kind, detail) for type, kind, detail in _OF_ERRORS if isinstance(error, type)),
        (FAILED, "the server's log has the reason"),
    )
    return problem(kind, detail or _detail(error), path, **_further(error, kind))


def of_status(status: int, detail: str, path: str, **further: Any) -> Response:
    """Return the response to an error that the frame has found, by its status; *further* as in `problem`."""
    kind = next((kind for kind in KINDS if kind.status == status), None)
    if kind is None:
        phrase = HTTPStatus(status).phrase
        kind = ProblemKind(phrase.lower().replace(" ", "-"), status, phrase)
    return problem(kind, detail, path, **further)


def _detail(error: PostscanError) -> str:
    """Return the detail without the value that was sent."""
    match error:
        case InvalidArgument():
            return (
                f"{error.argument}: expected {error.expected}" if error.expected else f"{error.argument} is not valid"
            )
        case WrongState():
            return f"cannot {error.verb} while {error.state}"
    return str(error)


def _further(error: PostscanError, kind: ProblemKind) -> Mapping[str, Any]:
    match error:
        case InvalidArgument():
            return {"argument": error.argument}
        case WrongState():
            return {"state": error.state}
        case NotAdministrator():
            return {"right": error.right}
        case Throttled():
            return {"retry_after": max(1, math.ceil(error.seconds))}
    return {"retry_after": RETRY_SECONDS} if kind is BUSY else {}
