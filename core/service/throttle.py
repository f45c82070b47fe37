"""The limit on requests with a job token that is not the caller's.

Only such requests count and only such requests are refused, so a device behind the same address with valid tokens is
not affected. Source: T-O4.
"""

from __future__ import annotations

from typing import Final, Protocol

from postscan.core.clock import Clock
from postscan.core.errors import Throttled
from postscan.core.model.rate_limit import RateLimit
from postscan.core.store.cluster import misses
from postscan.core.store.store import Store

WINDOW: Final = 60.0  # seconds


class TokenThrottle(Protocol):
    """Limits each caller to so many wrong tokens in `WINDOW` seconds."""

    def miss(self, caller: str) -> None:
        """Count a wrong token of *caller*; raise `Throttled` above the limit, `StoreBusy`."""


class Throttle:
    """The wrong tokens that this server has seen: *most* of each caller."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._misses = RateLimit(most, WINDOW, clock.ticks)

    def miss(self, caller: str) -> None:
        """Count a wrong token of *caller*; raise `Throttled` above the limit."""
        wait = self._misses.take(caller)
        if wait:
            raise Throttled(caller, wait)


class SharedThrottle:
    """Those that all servers of a PostgreSQL database have seen. A right token costs no query."""

    def __init__(self, store: Store, most: int, clock: Clock) -> None:
        self._store = store
        self._most = most
        self._clock = clock

    def miss(self, caller: str) -> None:
        """Count a wrong token of *caller*; raise `Throttled` above the limit, where no more are counted."""
        now = self._clock.ticks()
        with self._store.reading() as db:
            found = misses.newest(db, caller, now - WINDOW, self._most)
        if len(found) >= self._most:
            raise Throttled(caller, found[-1] + WINDOW - now)
        with self._store.writing() as db:
            misses.write(db, caller, now)

    def forget(self) -> None:
        """Delete what is not counted any more. Raises `StoreBusy`."""
        with self._store.writing() as db:
            misses.remove(db, self._clock.ticks() - WINDOW)
