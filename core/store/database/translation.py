"""Errors of the drivers, translated into those of the core."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from postscan.core.errors import StoreBusy, StoreFull
from postscan.core.store.database.sqlite import is_full

_UNAVAILABLE: Final = (sa.exc.OperationalError, sa.exc.InternalError, sa.exc.TimeoutError)
"""What the drivers raise if the database is locked, full, read-only, ended the session, or cannot be reached."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Translate errors of an unavailable database into `StoreBusy`, and those of a full disk into `StoreFull`."""
    try:
        yield
    except _UNAVAILABLE as error:
        kind = StoreFull if is_full(error) else StoreBusy
        raise kind(f"the database does not answer: {error.args[0] if error.args else error}") from error
