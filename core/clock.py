"""Time as an argument: the wall clock for what people read, a steady one for everything that counts.

Ticks are seconds that never jump: not with the wall clock, and not across a restart. Within one boot they follow the
kernel's boot clock, which counts while the machine sleeps; across a reboot they go on from where they were last
written down. So every deadline, age and window is in ticks, and a wall clock that is wrong by ten years changes
nothing but the dates that are shown.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol


class Clock(Protocol):
    """What the core asks of a clock."""

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""

    def ticks(self) -> float:
        """Return steady seconds; only their differences mean something."""


class Mark(NamedTuple):
    """A moment on the steady clock, in a form that outlives the boot: `uptime` is the kernel's clock then."""

    boot: str
    uptime: float
    ticks: float


class SystemClock:
    """The machine's own clocks (Linux), going on from a mark that an earlier process left."""

    def __init__(self, last: Mark | None = None) -> None:
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        if last is None:
            self._offset = 0.0
        elif last.boot == self._boot:
            self._offset = last.ticks - last.uptime
        else:  # nobody can tell how long the machine was off; what waited goes on waiting
            self._offset = last.ticks - _uptime()

    def now(self) -> datetime:
        """Return the wall-clock time in UTC, to the millisecond that the protocol shows."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def ticks(self) -> float:
        """Return steady seconds, sleep included."""
        return _uptime() + self._offset

    def mark(self) -> Mark:
        """Return this moment for the next process."""
        uptime = _uptime()
        return Mark(self._boot, uptime, uptime + self._offset)


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
