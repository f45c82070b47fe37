"""When the next process of a source, or of a plugin of hooks, starts, and when no more do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

ENDS: Final = 5
WINDOW: Final = 600.0
"""So many ends within so many seconds are too many; a process that ran for longer was a good one."""

LONGEST: Final = 60.0
"""Most seconds before the next process starts."""


class Restarts:
    """The ends of one inlet or plugin. *ticks* returns monotonic seconds."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._ends: deque[float] = deque(maxlen=ENDS)
        self._pause = 1.0

    def ended(self, ran: float) -> float | None:
        """Record the end of a process that ran for *ran* seconds; return when the next one starts, None for never."""
        now = self._ticks()
        self._ends.append(now)
        if len(self._ends) == ENDS and now - self._ends[0] < WINDOW:
            return None
        return self.pause(ran)

    def pause(self, ran: float) -> float:
        """Return the seconds before the next process starts: 1, 2, 4 ... 60, and 1 after a good one."""
        if ran >= WINDOW:
            self._pause = 1.0
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST)
        return pause

    def reset(self) -> None:
        """Begin anew, by order of an administrator."""
        self._ends.clear()
        self._pause = 1.0
