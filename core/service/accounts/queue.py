"""Passwords are compared one after the other: the order of those that wait, and how many may.

A comparison takes 64 MiB, and all processors for a moment, so that two at once are ready no sooner than two in turn.
Source: T-O11.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from postscan.core.errors import Unavailable

MOST: Final = 9
"""Callers in the queue, the one that has the turn included; each holds a thread."""
MOST_OF_CLIENT: Final = 4
WAIT_SECONDS: Final = 10.0


@dataclass(frozen=True, eq=False, slots=True)
class _Ticket:
    client: str


class ComparisonQueue:
    """One caller has the turn, some wait for a while, in the order in which they came. Usable from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._tickets: deque[_Ticket] = deque()  # the first one has the turn

    @contextlib.contextmanager
    def turn(self, client: str) -> Iterator[None]:
        """Have the turn in the body; raise `Unavailable` if too many wait, of the client or in all, or for too long."""
        ticket = self._enter(client)
        try:
            with self._changed:
                if not self._changed.wait_for(lambda: self._tickets[0] is ticket, WAIT_SECONDS):
                    raise Unavailable(f"other passwords were compared for {WAIT_SECONDS:.0f} s")
            yield
        finally:
            with self._changed:
                self._tickets.remove(ticket)
                self._changed.notify_all()

    def _enter(self, client: str) -> _Ticket:
        with self._changed:
            if len(self._tickets) >= MOST:
                raise Unavailable(f"{MOST} passwords wait to be compared")
            if sum(one.client == client for one in self._tickets) >= MOST_OF_CLIENT:
                raise Unavailable(f"{MOST_OF_CLIENT} passwords of this client wait to be compared")
            self._tickets.append(_Ticket(client))
            return self._tickets[-1]
