"""The reply to a request that the service does not carry out: each error that is expected is one.

`busy` lets the origin come again, so that nothing waits here; what is `refused` would be refused again.
"""

from __future__ import annotations

from typing import Final

from postscan.core.errors import (
    InvalidArgument,
    NotInstalled,
    OriginRefused,
    PostscanError,
    SpoolFull,
    StoreBusy,
    StoredProcessInvalid,
    StoreFull,
    Throttled,
    Unavailable,
)
from postscan.core.filters.source.messages import InletBusy, Request, RequestRefused

BUSY_SECONDS: Final = 10.0
"""After how many seconds an origin may come again when the server has no place for it."""

AGAIN_SECONDS: Final = 5.0
"""The same, when another transfer of it is in progress or the database does not answer."""

FULL_SECONDS: Final = 60.0
"""The same, when a disk is full or an administrator has to mend something."""

EXPECTED: Final = (InvalidArgument, NotInstalled, OriginRefused, StoredProcessInvalid, Throttled, Unavailable)
"""The errors of the service that have a reply; any other one is a fault of the server."""

_FULL: Final = (SpoolFull, StoreFull)


def of_error(request: Request, error: PostscanError) -> InletBusy | RequestRefused:
    """Return the reply to a request that has raised one of the `EXPECTED` errors."""
    if isinstance(error, OriginRefused | InvalidArgument):
        return RequestRefused(id=request.id, reason=str(error))
    return InletBusy(id=request.id, seconds=_seconds(error), full=isinstance(error, _FULL))


def busy(request: Request, seconds: float) -> InletBusy:
    """Return the reply to a request that may succeed in so many seconds."""
    return InletBusy(id=request.id, seconds=seconds)


def _seconds(error: PostscanError) -> float:
    """Return after how many seconds the origin may come again."""
    match error:
        case Throttled():
            return error.seconds
        case SpoolFull() | StoreFull() | StoredProcessInvalid() | NotInstalled():
            return FULL_SECONDS
        case StoreBusy():
            return AGAIN_SECONDS
        case _:
            return BUSY_SECONDS
