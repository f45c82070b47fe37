"""ScanSettings: what a scan is asked for. Source: escl.md section 5, with its order of elements (ESCL-022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from postscan.plugins.sources.escl.messages.capabilities import InputName
from postscan.plugins.sources.escl.messages.xml import PWG, SCAN

VERSION: Final = "2.0"
"""Devices of newer versions take it as well."""


@dataclass(frozen=True)
class ScanRegion:
    """The part of the sheet, in 1/300 inch."""

    width: int
    height: int
    x: int = 0
    y: int = 0


@dataclass(frozen=True)
class EsclScanSettings:
    """One scan. What is empty or 0 is not sent, and is then the device's choice; `format` is a media type.

    `format_ext` is sent where the input lists it. `resolution` is in dots per inch, for both axes.
    """

    input: InputName
    color: str = ""
    format: str = ""
    format_ext: str = ""
    resolution: int = 0
    region: ScanRegion | None = None
    intent: str = ""
    compression: int | None = None

    def document(self) -> bytes:
        """Return the XML document."""
        is_feeder = self.input != "platen"
        parts = [
            _text("pwg:Version", VERSION),
            _text("scan:Intent", self.intent),
            _regions(self.region),
            _text("pwg:InputSource", "Feeder" if is_feeder else "Platen"),
            _text("scan:CompressionFactor", "" if self.compression is None else str(self.compression)),
            _text("scan:ColorMode", self.color),
            _text("pwg:DocumentFormat", self.format),
            _text("scan:DocumentFormatExt", self.format_ext),
            _text("scan:XResolution", str(self.resolution or "")),
            _text("scan:YResolution", str(self.resolution or "")),
            _text("scan:Duplex", str(self.input == "duplex").lower() if is_feeder else ""),
        ]
        opening = f'<scan:ScanSettings xmlns:scan="{SCAN}" xmlns:pwg="{PWG}">'
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{opening}{"".join(parts)}</scan:ScanSettings>'.encode()


def _regions(region: ScanRegion | None) -> str:
    if region is None:
        return ""
    numbers = (("XOffset", region.x), ("YOffset", region.y), ("Width", region.width), ("Height", region.height))
    inside = _text("pwg:ContentRegionUnits", "escl:ThreeHundredthsOfInches")
    inside += "".join(_text(f"pwg:{name}", str(number)) for name, number in numbers)
    return f"<pwg:ScanRegions><pwg:ScanRegion>{inside}</pwg:ScanRegion></pwg:ScanRegions>"


def _text(name: str, value: str) -> str:
    return f"<{name}>{escape(value)}</{name}>" if value else ""
