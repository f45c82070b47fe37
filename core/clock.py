"""Time as an argument: the wall clock for dates that are shown, a steady clock for deadlines, ages and windows.

Ticks are seconds that never jump, neither with the wall clock nor across a restart. Within one boot they follow the
kernel's boot clock, which counts while the machine sleeps; after a reboot they continue from the last stored mark. So a
wall clock that is wrong by ten years changes only the dates that are shown.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol


class Clock(Protocol):
    """The clock that the core uses."""

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""

    def ticks(self) -> float:
        """Return steady seconds; only differences are meaningful."""


class Mark(NamedTuple):
    """A position of the steady clock that can be stored across boots: `uptime` is the kernel's clock at that time."""

    boot: str
    uptime: float
    ticks: float


class SystemClock:
    """The clocks of the machine (Linux), continued from the mark of an earlier process."""

    def __init__(self, last: Mark | None = None) -> None:
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        if last is None:
            self._offset = 0.0
        elif last.boot == self._boot:
            self._offset = last.ticks - last.uptime
        else:  # the time that the machine was off is unknown, so it does not count
            self._offset = last.ticks - _uptime()

    def now(self) -> datetime:
        """Return the wall-clock time in UTC, with the milliseconds of the protocol."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def ticks(self) -> float:
        """Return steady seconds, sleep included."""
        return _uptime() + self._offset

    def follow(self, mark: Mark) -> None:
        """Continue from a mark that another process has just stored, unless this clock is ahead of it."""
        offset = mark.ticks - (mark.uptime if mark.boot == self._boot else _uptime())
        self._offset = max(self._offset, offset)

    def mark(self) -> Mark:
        """Return the current position, for the next process."""
        uptime = _uptime()
        return Mark(self._boot, uptime, uptime + self._offset)


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
