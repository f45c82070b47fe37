"""What a scanner offers and what a scan is: values, in the units of WS-Scan. No I/O.

Lengths are in 1/1000 inch, resolutions in dots per inch; colours, formats and input sources are keywords. 0 and ""
stand for what the device did not state. Source: ws-scan.md section 7; WSS-039, WSS-040.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

PLATEN: Final = "Platen"
ADF: Final = "ADF"
ADF_DUPLEX: Final = "ADFDuplex"
FILM: Final = "Film"

IDLE: Final = "Idle"
WARMING_UP: Final = frozenset({"LampWarming", "Calibrating"})
"""Reasons of a scanner state after which the same request succeeds some seconds later."""


@dataclass(frozen=True, slots=True)
class SourceCapabilities:
    """What one input source offers; an empty tuple and 0 are not known."""

    x_resolutions: tuple[int, ...] = ()
    y_resolutions: tuple[int, ...] = ()
    colors: tuple[str, ...] = ()
    min_width: int = 0
    min_height: int = 0
    max_width: int = 0
    max_height: int = 0


@dataclass(frozen=True, slots=True)
class ScannerConfiguration:
    """What a scanner offers: keywords in its own order, and the capabilities of each input source by its keyword.

    `quality` is the lowest and the highest CompressionQualityFactor, None if it cannot be set.
    """

    formats: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ()
    quality: tuple[int, int] | None = None
    sources: Mapping[str, SourceCapabilities] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class BedRegion:
    """A part of the bed."""

    x_offset: int
    y_offset: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class MediaSide:
    """How a side is scanned."""

    color: str = ""
    x_resolution: int = 0
    y_resolution: int = 0
    region: BedRegion | None = None


@dataclass(frozen=True, slots=True)
class DocumentParameters:
    """What a scan makes: of a ticket, or what the device really uses.

    `images` is None where it was not stated, and 0 for all that are there. `front` counts for both sides.
    """

    format: str = ""
    quality: int = 0
    images: int | None = None
    input_source: str = ""
    content_type: str = ""
    front: MediaSide = MediaSide()


@dataclass(frozen=True, slots=True)
class JobDescription:
    """What the device shows of a job."""

    name: str
    user_name: str
    information: str


@dataclass(frozen=True, slots=True)
class DeviceTicket:
    """The ScanTicket of a CreateScanJobRequest."""

    description: JobDescription
    parameters: DocumentParameters


@dataclass(frozen=True, slots=True)
class WsdStatus:
    """The state of a scanner (`Idle`, `Processing`, `Stopped`) and the reasons beside it."""

    state: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def warming_up(self) -> bool:
        """Whether the scanner is ready within seconds."""
        return not WARMING_UP.isdisjoint(self.reasons)

    def __str__(self) -> str:
        reasons = [reason for reason in self.reasons if reason != "None"]
        return f"{self.state or 'unknown'}" + (f" ({', '.join(reasons)})" if reasons else "")


@dataclass(frozen=True, slots=True)
class ScannerElements:
    """What a device stated of itself; None for what it left out."""

    configuration: ScannerConfiguration | None = None
    default_ticket: DocumentParameters | None = None
    status: WsdStatus | None = None
