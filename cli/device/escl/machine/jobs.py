"""Jobs of the scanner as values: settings, states and reasons.

Source: escl.md sections 4 and 5.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from postscan.cli.device.escl.machine.sides import ScannedSide

PLATEN: Final = "Platen"
FEEDER: Final = "Feeder"

PROCESSING: Final = "Processing"
COMPLETED: Final = "Completed"
CANCELED: Final = "Canceled"
ABORTED: Final = "Aborted"

SCANNING: Final = "JobScanning"
SUCCESS: Final = "JobCompletedSuccessfully"
BY_USER: Final = "JobCanceledByUser"
AT_DEVICE: Final = "JobCanceledAtDevice"
TIMED_OUT: Final = "JobTimedOut"
BY_SYSTEM: Final = "AbortedBySystem"
NO_PAPER: Final = "ResourcesAreNotReady"


@dataclass(frozen=True, slots=True)
class PullSettings:
    """What a client asks for in ScanSettings. Regions are in 1/300 inch; 0 and "" are the device's default."""

    source: str = PLATEN
    duplex: bool = False
    color: str = ""
    media_type: str = ""
    resolution: int = 0
    width: int = 0
    height: int = 0
    x_offset: int = 0
    y_offset: int = 0
    compression: int = 0
    intent: str = ""
    elements: tuple[str, ...] = ()
    """Names of the children of ScanSettings in the order in which they came."""


@dataclass
class PulledJob:
    """A job that a client pulls. Times are monotonic seconds."""

    number: int
    uuid: str
    settings: PullSettings
    created: float
    sides: deque[ScannedSide]
    """The images that are still to be fetched."""
    name: str = ""
    """The last segment of its URI."""
    state: str = PROCESSING
    reason: str = SCANNING
    images: int = 0
    """Images sent whole."""
    ready: float = 0.0
    """When the next image is scanned."""
    refusals: int = 0
    """Answers "not ready" since the last image."""
    touched: float = 0.0
    """When the client was last served."""
    sending: bool = False
    last: ScannedSide | None = None
    last_end: float = 0.0
    last_seconds: float = 0.0
    """How long the last request for an image took, from its arrival to its last byte."""
    deleted: int = 0
    """DELETE requests."""
    repeated: bool = False
    listed: bool = True
    faults: list[str] = field(default_factory=list)
    """What the client did that this model does not bear."""

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self.state != PROCESSING
