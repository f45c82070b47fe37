"""The paper of the scanner: sides in the feeder, one on the platen, and what is wrong with the feeder.

Not for several threads: `EsclMachine` calls it with its lock held.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from postscan.cli.device.escl.machine.jobs import PLATEN, PullSettings
from postscan.cli.device.escl.machine.sides import ScannedSide


class PaperPath(Enum):
    """What the scanner has: a platen; with a feeder; with a feeder that scans both sides."""

    PLATEN = "platen"
    FEEDER = "feeder"
    DUPLEX = "duplex"


class ScannerPaper:
    """Sides of sheets, all in the feeder at the start; the first one also lies on the platen."""

    def __init__(self, sides: list[ScannedSide], path: PaperPath, empty_state: str) -> None:
        self.path = path
        self.sides = tuple(sides)
        self.feeder = deque(sides)
        self.jammed = False
        self.open = False
        self._glass = 0
        self._empty_state = empty_state

    @property
    def trouble(self) -> bool:
        """Whether the feeder cannot work."""
        return self.jammed or self.open

    @property
    def state(self) -> str:
        """The value of scan:AdfState; "" without a feeder."""
        if self.path is PaperPath.PLATEN:
            return ""
        if self.jammed:
            return "ScannerAdfJam"
        if self.open:
            return "ScannerAdfDoorOpen"
        return "ScannerAdfLoaded" if self.feeder else self._empty_state

    def sides_for(self, settings: PullSettings) -> deque[ScannedSide]:
        """Return the sides that a job scans: that on the platen, or all in the feeder (only fronts without duplex)."""
        if settings.source == PLATEN:
            return deque([self.sides[self._glass % len(self.sides)]])
        taken = list(self.feeder)
        return deque(taken[::2] if self.path is PaperPath.DUPLEX and not settings.duplex else taken)

    def feed(self, settings: PullSettings) -> None:
        """Take out the side that a feeder job scans, with its back if the job wants only fronts."""
        if self.feeder:
            self.feeder.popleft()
        if self.feeder and self.path is PaperPath.DUPLEX and not settings.duplex:
            self.feeder.popleft()

    def turn_page(self) -> None:
        """Put the next side on the platen."""
        self._glass += 1
