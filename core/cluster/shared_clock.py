"""Steady time that several machines share: the leader stores a mark each second, and all others continue from it.

Ticks only go forward: a clock that is behind the mark is set to it, and one that is ahead stays. So clocks differ by
the age of a mark and by what they drift in a second, and a new leader begins where the last one was.
"""

from __future__ import annotations

from typing import Final

from postscan.core.clock import Clock, SystemClock
from postscan.core.cluster.leadership import Leadership
from postscan.core.store.store import Store

SECONDS: Final = 1.0
"""Seconds between two marks."""


class SharedClock:
    """Keeps the clock of this process with those of the others."""

    def __init__(self, store: Store, clock: Clock, leadership: Leadership) -> None:
        self._store = store
        self._clock = clock
        self._leadership = leadership

    def keep(self) -> None:
        """Continue from the stored mark, and store another one if this process leads. Raises `StoreBusy`."""
        if not isinstance(self._clock, SystemClock):
            return
        mark = self._store.mark()
        if mark is not None:
            self._clock.follow(mark)
        if self._leadership.is_leader:
            self._store.keep_mark(self._clock.mark())
