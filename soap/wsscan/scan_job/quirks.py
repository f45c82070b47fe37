"""Known deviations of devices that change what is sent or how an answer is read, as a table.

Most rows of ws-scan.md section 10 need no row here, since every device is treated so: all children of JobDescription
are sent (Canon TR7500), a feeder with a back is duplex (Brother), a fault counts in any HTTP status (Lexmark, Xerox),
a missing RelatesTo is not asked for, scans start at the panel (Kyocera). Source: ws-scan.md section 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Quirk:
    """A deviation: its name, parts of the names of the models that have it, and what it is."""

    name: str
    models: tuple[str, ...]
    text: str


BROKEN_ZERO: Final = "broken-zero"
SWAPPED_SIZE: Final = "swapped-size"
COARSE_TIFF: Final = "coarse-tiff"
EMPTY_FEEDER_BUSY: Final = "empty-feeder-busy"

QUIRKS: Final = (
    Quirk(
        BROKEN_ZERO,
        ("aficio mp 201",),
        "ImagesToTransfer 0 is not understood, so 100 is sent; ClientErrorJobIdNotFound ends the pages",
    ),
    Quirk(SWAPPED_SIZE, ("m2040dn",), "width and height of the largest size are swapped"),
    Quirk(COARSE_TIFF, ("m288x", "m2880", "m2885"), "uncompressed TIFF fails above 150 dpi, so it is not asked for"),
    Quirk(EMPTY_FEEDER_BUSY, ("mf410",), "an empty feeder is answered ServerErrorNotAcceptingJobs"),
)
"""All rows."""

NAMES: Final = frozenset(quirk.name for quirk in QUIRKS)


def quirks_of(model: str) -> frozenset[str]:
    """Return the names of the rows for a device with this model or friendly name."""
    name = " ".join(model.lower().split())
    return frozenset(quirk.name for quirk in QUIRKS if any(part in name for part in quirk.models))
