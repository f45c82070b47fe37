"""Time as an argument: the wall clock for what people read, a steady one for everything that counts.

`ticks` goes on while the machine sleeps and never jumps with the wall clock, so a deadline is always in ticks.
Ticks mean nothing after a reboot; `boot` tells one boot from the next.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """What the core asks of a clock."""

    boot: str

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""

    def ticks(self) -> float:
        """Return seconds since boot."""


class SystemClock:
    """The machine's own clocks (Linux)."""

    def __init__(self) -> None:
        self.boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def now(self) -> datetime:
        """Return the wall-clock time in UTC, to the millisecond that the protocol shows."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def ticks(self) -> float:
        """Return seconds since boot, sleep included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
