"""Turns at work that only one caller at a time may do.

A caller who waits for many turns gets one of them, and then all others who wait get one of theirs.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final

from postscan.core.errors import Unavailable


class CallerTurns:
    """One turn at a time. At most *each* of one caller, and *all* in all, wait or have it; for *seconds* at most."""

    def __init__(self, each: int, all: int, seconds: float) -> None:
        self._each = each
        self._all = all
        self._seconds = seconds
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, deque[object]] = OrderedDict()  # the caller of the next turn comes first
        self._current: object | None = None
        self._caller: str = ""

    @contextlib.contextmanager
    def turn(self, caller: str) -> Iterator[None]:
        """Wait for a turn, and have it while the body runs; raise `Unavailable` if that takes too long."""
        ticket = object()
        with self._changed:
            self._queue(caller, ticket)
            try:
                self._wait(ticket)
            except BaseException:
                self._leave(caller, ticket)
                raise
            self._leave(caller, ticket)
            self._current, self._caller = ticket, caller
        try:
            yield
        finally:
            with self._changed:
                self._current = None
                self._changed.notify_all()

    def _queue(self, caller: str, ticket: object) -> None:
        busy = self._current is not None
        own = len(self._waiting.get(caller, ())) + (busy and self._caller == caller)
        if own >= self._each or sum(map(len, self._waiting.values())) + busy >= self._all:
            raise Unavailable(_BUSY)
        self._waiting.setdefault(caller, deque()).append(ticket)

    def _wait(self, ticket: object) -> None:
        until = time.monotonic() + self._seconds
        while self._current is not None or next(iter(self._waiting.values()))[0] is not ticket:
            left = until - time.monotonic()
            if left <= 0:
                raise Unavailable(_BUSY)
            self._changed.wait(left)

    def _leave(self, caller: str, ticket: object) -> None:
        """Take a ticket out of the queue; the caller's next one comes behind those of all others."""
        tickets = self._waiting[caller]
        tickets.remove(ticket)
        self._waiting.move_to_end(caller)
        if not tickets:
            del self._waiting[caller]
        self._changed.notify_all()


_BUSY: Final = "too many pictures are asked for at the same time; try again in a moment"
