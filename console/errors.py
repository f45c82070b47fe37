"""Errors of pages: a status, what happened, and what the reader can do; errors of the core become such ones here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from postscan.core.errors import (
    AccountNotFound,
    InvalidArgument,
    JobNotFound,
    NotAdministrator,
    NotInstalled,
    PicturesRefused,
    PostscanError,
    SettingsError,
    StoredProcessChanged,
    StoredProcessInvalid,
    SubscriptionNotFound,
    Throttled,
    Unavailable,
    WrongState,
)
from postscan.core.model.principal import Right

RIGHTS: Final = {
    Right.SEE: "see the jobs of all users",
    Right.OPERATE: "change the jobs of all users",
    Right.PICTURES: "see the pictures of other users",
    Right.ADMINISTER: "administer the server",
}
"""The rights in words."""

RETRY_SECONDS: Final = 2


class PageError(Exception):
    """What a page answers instead: a status, what happened, and what to do; 429 and 503 have `retry_seconds`."""

    def __init__(self, status: int, what: str, remedy: str = "", retry_seconds: int = 0) -> None:
        super().__init__(what)
        self.status = status
        self.what = what
        self.remedy = remedy
        self.retry_seconds = retry_seconds

    @classmethod
    def forbidden(cls, right: Right) -> PageError:
        """Return the error for a page that needs another right."""
        return cls(403, f"This needs the right to {RIGHTS[right]}.", "Ask an administrator for it.")

    @classmethod
    def not_found(cls) -> PageError:
        """Return the error for what does not exist, or is not the caller's: both are the same."""
        return cls(404, "There is no such page.", "It may have ended and been removed, or the address is not complete.")

    @classmethod
    def busy(cls) -> PageError:
        """Return the error for a server that has too much to do now."""
        return cls(503, "The console has too much to do at the moment.", "Try again in a few seconds.", RETRY_SECONDS)


def _not_found(error: PostscanError) -> PageError:
    what = {
        JobNotFound: "There is no such job.",
        SubscriptionNotFound: "There is no such subscription.",
        AccountNotFound: "There is no such account.",
    }
    sentence = next(text for kind, text in what.items() if isinstance(error, kind))
    return PageError(404, sentence, "It may have ended and been removed.")


def _throttled(error: PostscanError) -> PageError:
    assert isinstance(error, Throttled)
    seconds = math.ceil(error.seconds)
    return PageError(429, "There were too many wrong attempts.", f"Try again in {seconds} seconds.", seconds)


def _unavailable(error: PostscanError) -> PageError:
    return PageError(503, f"The server is busy: {error}.", "Try again in a few seconds.", RETRY_SECONDS)


_MAPPED: Final[tuple[tuple[tuple[type[PostscanError], ...], Callable[[PostscanError], PageError]], ...]] = (
    ((JobNotFound, SubscriptionNotFound, AccountNotFound), _not_found),
    ((WrongState,), lambda error: PageError(409, f"It is too late for this: {error}.", "Look at its state again.")),
    (
        (StoredProcessChanged,),
        lambda error: PageError(409, f"{error}.", "Read it again, then make your change once more."),
    ),
    ((NotAdministrator,), lambda _error: PageError.forbidden(Right.ADMINISTER)),
    ((PicturesRefused,), lambda error: PageError(403, str(error))),
    ((InvalidArgument,), lambda error: PageError(400, f"{error}.", "Correct it, then send it again.")),
    ((Throttled,), _throttled),
    ((Unavailable,), _unavailable),
    ((NotInstalled, SettingsError, StoredProcessInvalid), lambda error: PageError(409, f"{error}.")),
)


def page_error(error: Exception) -> PageError | None:
    """Return what a page answers to this error; None if the error is a defect of the server."""
    if isinstance(error, PageError):
        return error
    for kinds, make in _MAPPED:
        if isinstance(error, kinds):
            return make(error)
    return None
