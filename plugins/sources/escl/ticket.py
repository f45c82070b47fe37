"""What is asked of a scanner: the ticket of the destination and the settings of the inlet, as far as it offers that.

Each value that the input does not offer is replaced by the nearest that it does, with a sentence for the log.
Source: escl.md sections 3, 5 and 6; ESCL-021.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from postscan.plugins import ScanTicket
from postscan.plugins.sources.escl.device.quirks import DeviceQuirk
from postscan.plugins.sources.escl.errors import DeviceRefused
from postscan.plugins.sources.escl.messages.capabilities import EsclCapabilities, InputCapabilities, InputName
from postscan.plugins.sources.escl.messages.scan_settings import EsclScanSettings, ScanRegion
from postscan.plugins.sources.escl.messages.status import LOADED, DeviceStatus

InputChoice = Literal["auto", "platen", "feeder", "duplex"]

RESOLUTION: Final = 300
"""Dots per inch if nothing asks for others."""

_INPUTS: Final[dict[str, InputName]] = {"Platen": "platen", "ADF": "feeder", "ADFDuplex": "duplex"}
_OTHER_INPUTS: Final[dict[InputName, tuple[InputName, ...]]] = {
    "platen": ("feeder", "duplex"),
    "feeder": ("duplex", "platen"),
    "duplex": ("feeder", "platen"),
}
_COLORS: Final = {
    "BlackAndWhite1": ("BlackAndWhite1", "Grayscale8", "RGB24"),
    "Grayscale": ("Grayscale8", "Grayscale16", "RGB24", "BlackAndWhite1"),
    "RGB": ("RGB24", "RGB48", "Grayscale8", "BlackAndWhite1"),
}
"""The modes of eSCL in order of preference, by the begin of the keyword that is asked for."""

_MEDIA_TYPES: Final = {
    "jfif": ("image/jpeg",),
    "exif": ("image/jpeg",),
    "png": ("image/png",),
    "pdf": ("application/pdf",),
    "tiff": ("image/tiff",),
    "dib": ("image/bmp", "image/x-ms-bmp"),
    "jpeg2k": ("image/jp2",),
    "xps": ("application/vnd.ms-xpsdocument", "application/oxps"),
}
"""Media types by the first word of a Format keyword."""

_USUAL: Final = ("image/jpeg", "application/pdf", "image/png", "image/tiff")
_BILEVEL: Final = ("application/pdf", "image/tiff", "image/png", "image/jpeg")  # JPEG has no page of one bit
_INTENTS: Final = {"Text": "Document", "Photo": "Photo", "Halftone": "TextAndGraphic", "Mixed": "TextAndGraphic"}


@dataclass(frozen=True)
class ScanChoice:
    """What the settings of an inlet choose for all scans; "auto", "" and 0 leave it to the ticket."""

    source: InputChoice = "auto"
    color: str = ""
    resolution: int = 0


class ScanPlan(NamedTuple):
    """The settings of a scan, the most pages (0: all), and a sentence for each value that was replaced."""

    settings: EsclScanSettings
    images: int
    notes: tuple[str, ...]


def plan(
    ticket: ScanTicket,
    choice: ScanChoice,
    offered: EsclCapabilities,
    status: DeviceStatus,
    quirks: frozenset[DeviceQuirk] = frozenset(),
) -> ScanPlan:
    """Return what to ask for. Raises `DeviceRefused` if the device has no input at all."""
    notes: list[str] = []
    input = _input(ticket, choice, offered, status, notes)
    color = _color(choice.color or ticket.color, input.colors, notes)
    format = _format(ticket.formats, input.all_formats, color, notes)
    wanted = choice.resolution or ticket.x_resolution or ticket.y_resolution
    if not choice.resolution and ticket.y_resolution not in (0, wanted):
        notes.append(f"one resolution for both axes: {wanted} dpi, and not {ticket.y_resolution} dpi for the second")
    intent = _INTENTS.get(ticket.content_type, "")
    settings = EsclScanSettings(
        input=input.name,
        color=color,
        format=format if format in input.formats or not input.formats else _fallback(input.formats),
        format_ext=format if format in input.formats_ext else "",
        resolution=_resolution(wanted, input, quirks, notes),
        region=_region(ticket, input, notes),
        intent=intent if intent in input.intents else "",
        compression=_compression(ticket.quality, offered.compression),
    )
    return ScanPlan(settings, ticket.images, tuple(notes))


def _input(
    ticket: ScanTicket,
    choice: ScanChoice,
    offered: EsclCapabilities,
    status: DeviceStatus,
    notes: list[str],
) -> InputCapabilities:
    named: InputName | None = choice.source if choice.source != "auto" else None
    if named is None and ticket.input_source:
        named = _INPUTS.get(ticket.input_source)
        if named is None:
            notes.append(f"the input {ticket.input_source} is not known to eSCL")
    wanted: InputName = named or ("feeder" if status.feeder == LOADED else "platen")
    for name in (wanted, *_OTHER_INPUTS[wanted]):
        found = offered.input(name)
        if found is not None:
            if named is not None and name != named:
                notes.append(f"the input {name} in place of {named}, which the device has not")
            return found
    raise DeviceRefused("the device has neither a platen nor a feeder")


def _color(wanted: str, offered: tuple[str, ...], notes: list[str]) -> str:
    if not offered:
        return ""
    if wanted in offered:
        return wanted
    begin = next((one for one in _COLORS if wanted.startswith(one)), "RGB")
    found = next((one for one in _COLORS[begin] if one in offered), offered[0])
    if wanted:
        notes.append(f"the color mode {found} in place of {wanted}, which the input does not offer")
    return found


def _format(wanted: Iterable[str], offered: tuple[str, ...], color: str, notes: list[str]) -> str:
    for keyword in wanted:
        for kind in _MEDIA_TYPES.get(keyword.partition("-")[0], ()):
            if kind in offered:
                return kind
    found = next((one for one in (_BILEVEL if color == "BlackAndWhite1" else _USUAL) if one in offered), "")
    found = found or (offered[0] if offered else "")
    names = ", ".join(wanted)
    if names and found:
        notes.append(f"the format {found} in place of {names}, which the input does not offer")
    return found


def _fallback(formats: tuple[str, ...]) -> str:
    """Return what stands in DocumentFormat beside a DocumentFormatExt that it does not list."""
    return next((one for one in _USUAL if one in formats), formats[0])


def _resolution(wanted: int, input: InputCapabilities, quirks: frozenset[DeviceQuirk], notes: list[str]) -> int:
    most = 300 if DeviceQuirk.MOST_300_DPI in quirks else 1 << 30
    near = wanted or RESOLUTION
    offered = [one for one in input.resolutions if one <= most]
    if offered:
        found = min(offered, key=lambda one: (abs(one - near), -one))
    elif input.range is not None:
        found = max(min(near, input.range.most, most), input.range.least)
        steps = round((found - input.range.least) / input.range.step)
        found = input.range.least + steps * input.range.step
        found = found - input.range.step if found > min(input.range.most, most) else found
    else:
        return 0
    if wanted and found != wanted:
        notes.append(f"{found} dpi in place of {wanted} dpi, which the input does not offer")
    return found


def _region(ticket: ScanTicket, input: InputCapabilities, notes: list[str]) -> ScanRegion | None:
    """Return the region in 1/300 inch, clipped to the input; None if neither has a size."""
    width, height = (max(_units(one), one > 0) for one in (ticket.width, ticket.height))  # 0 is all there is
    x, y = _units(ticket.x_offset), _units(ticket.y_offset)
    across = _extent(x, width, input.least_width, input.most_width)
    along = _extent(y, height, input.least_height, input.most_height)
    if not across.size or not along.size:
        return None
    if (width and across != (x, width)) or (height and along != (y, height)):
        notes.append(
            f"a region of {across.size} x {along.size} at {across.begin}, {along.begin} in place of "
            f"{width} x {height} at {x}, {y} (in 1/300 inch), which the input does not offer"
        )
    return ScanRegion(across.size, along.size, across.begin, along.begin)


class _Extent(NamedTuple):
    begin: int
    size: int


def _extent(begin: int, size: int, least: int, most: int) -> _Extent:
    """Return begin and size on one axis, clipped; a size of 0 is all that is left of the input."""
    if not most:
        return _Extent(begin, size)
    begin = max(0, min(begin, most - max(least, 1)))
    left = most - begin
    return _Extent(begin, max(min(size or left, left), min(least, left)))


def _units(thousandths: int) -> int:
    return max(0, (thousandths * 300 + 500) // 1000)


def _compression(quality: int, offered: tuple[int, int] | None) -> int | None:
    """Return the compression factor, which falls as the quality of 1 to 100 rises; None for the device's own."""
    if offered is None or not 0 < quality <= 100 or offered[0] >= offered[1]:
        return None
    least, most = offered
    return most - (most - least) * quality // 100
