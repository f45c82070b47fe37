"""What single devices do otherwise than others, as a table; how each is treated stands with the code that asks.

A row is found by what the device says of itself: its model in the capabilities, or the Server field of its responses.
A row that is not found may be named in the settings. Source: escl.md section 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class DeviceQuirk(StrEnum):
    """One deviation."""

    PAUSE_BETWEEN_PAGES = "pause-between-pages"
    """NextDocument right behind a page is answered with 404 though pages remain (ESCL-027)."""

    NOT_READY_IS_404 = "not-ready-is-404"
    """404 or 410 in place of 503 (ESCL-026)."""

    NO_DELETE = "no-delete"
    """No DELETE after a good end (ESCL-031)."""

    JAM_IS_EMPTY = "jam-is-empty"
    """An empty feeder is reported as a jam."""

    HOST_LOCALHOST = "host-localhost"
    """Scans only if Host is `localhost` (ESCL-010)."""

    HOST_WITH_PORT = "host-with-port"
    """Host has to have the port, also if it is that of the scheme (ESCL-010)."""

    OFTEN_BUSY = "often-busy"
    """Many 503 for a page at a high resolution: it is asked three times as often."""

    MOST_300_DPI = "most-300-dpi"
    """Claims 600 dpi, and has 300 (ESCL-021)."""

    HANGS_OVER_HTTP = "hangs-over-http"
    """Works over HTTPS alone."""


@dataclass(frozen=True)
class QuirkRow:
    """A device, by patterns of its model or of its Server field, and what it does otherwise."""

    device: str
    quirks: tuple[DeviceQuirk, ...]
    model: str = ""
    server: str = ""

    def fits(self, model: str, server: str) -> bool:
        """Return whether a device with this model and this Server field is meant."""
        return _found(self.model, model) or _found(self.server, server)


TABLE: Final = (
    QuirkRow("Brother", (DeviceQuirk.PAUSE_BETWEEN_PAGES,), r"^brother\b"),
    QuirkRow(
        "Xerox B205, B215, WorkCentre 3345",
        (DeviceQuirk.NOT_READY_IS_404, DeviceQuirk.NO_DELETE, DeviceQuirk.JAM_IS_EMPTY),
        r"\b(b205|b215|workcentre 3345)\b",
    ),
    QuirkRow("HP with HP_Compact_Server", (DeviceQuirk.HOST_LOCALHOST,), server=r"HP_Compact_Server"),
    QuirkRow("HP M630 and M578", (DeviceQuirk.HOST_LOCALHOST,), r"\bhp\b.*\b(m630|m578)"),
    QuirkRow("Epson", (DeviceQuirk.HOST_WITH_PORT,), r"^epson\b"),
    QuirkRow("HP LaserJet M28w", (DeviceQuirk.OFTEN_BUSY,), r"\bm28w\b"),
    QuirkRow("Canon iR2625 and iR2630", (DeviceQuirk.MOST_300_DPI,), r"\bir ?26(25|30)\b"),
    QuirkRow("Ricoh SP C261SFNw", (DeviceQuirk.HANGS_OVER_HTTP,), r"\bsp c261sfnw\b"),
)


def of(model: str, server: str, named: Iterable[str] = ()) -> frozenset[DeviceQuirk]:
    """Return the quirks of a device with this model and this Server field, and those that are *named*."""
    found = {quirk for row in TABLE if row.fits(model, server) for quirk in row.quirks}
    return frozenset(found | {DeviceQuirk(one) for one in named})


def _found(pattern: str, text: str) -> bool:
    return bool(pattern) and re.search(pattern, text[:255], re.IGNORECASE) is not None
