"""The ticket that is sent: what a destination asks for, as far as the device offers it.

Every value that differs from what was asked for is a `TicketChange`, for the log and the job. Nothing is sent that
ScannerConfiguration does not offer; a list that the device left out forbids nothing.
Source: ws-scan.md section 7; WSS-036 to WSS-040.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from postscan.plugins import Destination, ScanTicket
from postscan.soap.wsscan.messages.configuration import (
    ADF,
    ADF_DUPLEX,
    FILM,
    PLATEN,
    BedRegion,
    DeviceTicket,
    DocumentParameters,
    JobDescription,
    MediaSide,
    ScannerConfiguration,
    ScannerElements,
    SourceCapabilities,
)
from postscan.soap.wsscan.scan_job import quirks

USUAL_RESOLUTION: Final = 300
"""Dots per inch where neither the destination nor the device names a resolution."""

ALL_IMAGES: Final = 0
MANY_IMAGES: Final = 100
"""ImagesToTransfer for a device that does not understand 0 (WSS-038)."""

OURSELVES: Final = "postscan"

_USUAL_FORMATS: Final = ("jfif", "exif", "png", "tiff-single-g4", "tiff-single-uncompressed", "pdf-a")
_BILEVEL: Final = "BlackAndWhite1"
_BILEVEL_FORMATS: Final = ("g4", "g3mh", "jbig")
_CONTINUOUS_FORMATS: Final = ("jfif", "exif", "jpeg-tn2")
_COARSE: Final = 150
_LONGEST_TEXT: Final = 255

_NEAR_COLORS: Final = {
    "BlackAndWhite1": ("Grayscale4", "Grayscale8", "Grayscale16", "RGB24"),
    "Grayscale4": ("Grayscale8", "Grayscale16", "RGB24", "BlackAndWhite1"),
    "Grayscale8": ("Grayscale16", "Grayscale4", "RGB24", "RGB48", "BlackAndWhite1"),
    "Grayscale16": ("Grayscale8", "RGB48", "RGB24", "Grayscale4", "BlackAndWhite1"),
    "RGB24": ("RGB48", "RGBa32", "RGBa64", "Grayscale8", "Grayscale16", "BlackAndWhite1"),
    "RGB48": ("RGB24", "RGBa64", "RGBa32", "Grayscale16", "Grayscale8", "BlackAndWhite1"),
    "RGBa32": ("RGB24", "RGBa64", "RGB48", "Grayscale8", "Grayscale16", "BlackAndWhite1"),
    "RGBa64": ("RGBa32", "RGB48", "RGB24", "Grayscale16", "Grayscale8", "BlackAndWhite1"),
}
"""For each ColorProcessing the others, the nearest first."""

_USUAL_COLORS: Final = ("RGB24", "Grayscale8", "BlackAndWhite1")
_NEAR_SOURCES: Final = {ADF_DUPLEX: (ADF, PLATEN), ADF: (ADF_DUPLEX, PLATEN), FILM: (PLATEN,), PLATEN: (ADF,)}

Value = TypeVar("Value", str, int)


@dataclass(frozen=True, slots=True)
class TicketChange:
    """A value that is sent, or used by the device, instead of the one that was asked for."""

    what: str
    asked: str
    used: str
    why: str

    def __str__(self) -> str:
        return f"{self.what} {self.used} instead of {self.asked}: {self.why}"


@dataclass(frozen=True, slots=True)
class ChosenTicket:
    """A ticket, the formats to try after its own, and what differs from what the destination asks for."""

    ticket: DeviceTicket
    formats: tuple[str, ...] = ()
    changes: tuple[TicketChange, ...] = ()

    def next_format(self) -> ChosenTicket | None:
        """Return the same with the next format, for a device that refused this one; None after the last."""
        if not self.formats:
            return None
        used, *others = self.formats
        asked = self.ticket.parameters.format
        parameters = replace(self.ticket.parameters, format=used)
        change = TicketChange("format", asked, used, "the device refused the other")
        return replace(
            self,
            ticket=replace(self.ticket, parameters=parameters),
            formats=tuple(others),
            changes=(*self.changes, change),
        )

    def least(self) -> ChosenTicket:
        """Return the same with no more than format, images and source, for a device that finds a conflict in it."""
        what = self.ticket.parameters
        parameters = DocumentParameters(format=what.format, images=what.images, input_source=what.input_source)
        change = TicketChange(
            "colour, resolution and region", "those of the destination", "the device's", "they conflict"
        )
        return replace(self, ticket=replace(self.ticket, parameters=parameters), changes=(*self.changes, change))


def choose_ticket(
    destination: Destination,
    elements: ScannerElements,
    *,
    input_source: str = "",
    known_quirks: frozenset[str] = frozenset(),
) -> ChosenTicket:
    """Return the ticket for a scan to *destination*; *input_source* is the one of the event, which is used as it is."""
    return _Choice(destination.ticket, elements, known_quirks).ticket(destination.label, input_source)


def substituted(sent: DocumentParameters, final: DocumentParameters) -> tuple[TicketChange, ...]:
    """Return what the device uses instead of what was sent, as its DocumentFinalParameters state it."""
    pairs = (
        ("format", sent.format, final.format),
        ("input source", sent.input_source, final.input_source),
        ("colour", sent.front.color, final.front.color),
        ("resolution", _dpi(sent.front), _dpi(final.front)),
    )
    return tuple(
        TicketChange(what, asked, used, "the device substituted it")
        for what, asked, used in pairs
        if asked and used not in ("", asked)
    )


class _Choice:
    """One choice of a ticket; it collects the changes."""

    def __init__(self, asked: ScanTicket, elements: ScannerElements, known_quirks: frozenset[str]) -> None:
        self._asked = asked
        self._offered = elements.configuration or ScannerConfiguration()
        self._default = elements.default_ticket or DocumentParameters()
        self._quirks = known_quirks
        self._changes: list[TicketChange] = []

    def ticket(self, label: str, input_source: str) -> ChosenTicket:
        source = self._source(input_source)
        able = self._offered.sources.get(source, SourceCapabilities())
        color = self._color(able)
        x, y = self._resolutions(able)
        formats = self._formats(color, max(x, y))
        if formats and any(part in formats[0] for part in _BILEVEL_FORMATS):
            color = self._bilevel(able, color, formats[0])
        parameters = DocumentParameters(
            format=formats[0] if formats else "",
            quality=self._quality(),
            images=self._images(source),
            input_source=source,
            content_type=self._content_type(),
            front=MediaSide(color, x, y, self._region(able)),
        )
        return ChosenTicket(
            DeviceTicket(self._description(label), parameters), tuple(formats[1:]), tuple(self._changes)
        )

    def _description(self, label: str) -> JobDescription:
        texts = (
            self._asked.job_name or label,
            self._asked.user_name or OURSELVES,
            self._asked.information or OURSELVES,
        )
        return JobDescription(*(text[:_LONGEST_TEXT] for text in texts))

    def _source(self, pressed: str) -> str:
        """Return the source of the event (WSS-037), else the nearest one that is there to the destination's."""
        asked, there = self._asked.input_source, self._offered.sources
        if pressed:
            self._note("input source", asked, pressed, "it was chosen at the device")
            return pressed
        if not asked:
            usual = self._default.input_source
            return usual if usual in there or (usual and not there) else next(iter(there), usual)
        if not there or asked in there:
            return asked
        used = next((one for one in _NEAR_SOURCES.get(asked, ()) if one in there), next(iter(there)))
        self._note("input source", asked, used, "the device has no other near to it")
        return used

    def _images(self, source: str) -> int:
        if source == PLATEN:
            return 1
        if self._asked.images:
            return self._asked.images
        return MANY_IMAGES if quirks.BROKEN_ZERO in self._quirks else ALL_IMAGES

    def _formats(self, color: str, resolution: int) -> list[str]:
        """Return the formats to try, the best first: the destination's as far as they are offered, then usual ones."""
        all_offered = self._offered.formats
        offered = [one for one in all_offered if self._is_sound(one, resolution)] or list(all_offered)
        asked = [one for one in self._asked.formats if not all_offered or one in offered]
        usual = [one for one in (self._default.format, *_USUAL_FORMATS) if one in offered]
        if not self._asked.formats or not asked:
            asked = usual or offered or [self._default.format or _USUAL_FORMATS[0]]
            if self._asked.formats:
                self._note("format", ", ".join(self._asked.formats), asked[0], "the device offers none of those")
        fitting = [one for one in asked if _fits(one, color)]
        unfitting = [one for one in asked if one not in fitting]
        return list(dict.fromkeys([*fitting, *unfitting]))

    def _is_sound(self, format: str, resolution: int) -> bool:
        coarse = quirks.COARSE_TIFF in self._quirks and resolution > _COARSE
        return not (coarse and format.startswith("tiff") and format.endswith("uncompressed"))

    def _color(self, able: SourceCapabilities) -> str:
        asked = self._asked.color or self._default.front.color
        if not able.colors or asked in able.colors:
            return asked
        near = _NEAR_COLORS.get(asked, _USUAL_COLORS)
        used = next((one for one in near if one in able.colors), able.colors[0])
        self._note("colour", self._asked.color, used, "the device does not offer it")
        return used

    def _bilevel(self, able: SourceCapabilities, color: str, format: str) -> str:
        """Return the colour for a format that has only black and white."""
        if color in ("", _BILEVEL) or (able.colors and _BILEVEL not in able.colors):
            return color
        self._note("colour", color, _BILEVEL, f"{format} has no other")
        return _BILEVEL

    def _resolutions(self, able: SourceCapabilities) -> tuple[int, int]:
        x = self._asked.x_resolution or self._asked.y_resolution
        y = self._asked.y_resolution or self._asked.x_resolution
        if not x:
            usual = self._default.front
            x, y = usual.x_resolution or USUAL_RESOLUTION, usual.y_resolution or USUAL_RESOLUTION
            return _nearest(x, able.x_resolutions), _nearest(y, able.y_resolutions or able.x_resolutions)
        used_x = _nearest(x, able.x_resolutions)
        used_y = _nearest(y, able.y_resolutions or able.x_resolutions)
        self._note("resolution", f"{x} x {y} dpi", f"{used_x} x {used_y} dpi", "the device does not offer it")
        return used_x, used_y

    def _region(self, able: SourceCapabilities) -> BedRegion | None:
        """Return the region within the bed; all of the bed if the destination names none."""
        widest, highest = able.max_width, able.max_height
        if quirks.SWAPPED_SIZE in self._quirks and widest > highest:
            widest, highest = highest, widest
        asked = self._asked
        if not (asked.width and asked.height):
            return self._default.front.region or (BedRegion(0, 0, widest, highest) if widest and highest else None)
        wanted = BedRegion(asked.x_offset, asked.y_offset, asked.width, asked.height)
        x, width = _within(wanted.x_offset, wanted.width, able.min_width, widest)
        y, height = _within(wanted.y_offset, wanted.height, able.min_height, highest)
        used = BedRegion(x, y, width, height)
        self._note("region", _size(wanted), _size(used), "the bed has another size")
        return used

    def _quality(self) -> int:
        asked, offered = self._asked.quality, self._offered.quality
        if not asked or offered is None:
            return asked if self._offered == ScannerConfiguration() else 0
        used = min(max(asked, offered[0]), offered[1])
        self._note("quality", str(asked), str(used), "the device has another range")
        return used

    def _content_type(self) -> str:
        asked, offered = self._asked.content_type, self._offered.content_types
        if not asked or not offered or asked in offered:
            return asked
        used = "Auto" if "Auto" in offered else ""
        self._note("content type", asked, used or "the device's", "the device does not offer it")
        return used

    def _note(self, what: str, asked: str, used: str, why: str) -> None:
        if asked and asked != used:
            self._changes.append(TicketChange(what, asked, used, why))


def _fits(format: str, color: str) -> bool:
    """Return whether images of this format can have this colour."""
    if any(part in format for part in _BILEVEL_FORMATS):
        return color in ("", _BILEVEL)
    return not (color == _BILEVEL and any(part in format for part in _CONTINUOUS_FORMATS))


def _nearest(asked: int, offered: Sequence[int]) -> int:
    """Return the offered number that is nearest to *asked*, the higher of two."""
    return min(offered, key=lambda one: (abs(one - asked), -one)) if offered else asked


def _within(offset: int, length: int, least: int, most: int) -> tuple[int, int]:
    """Return offset and length that lie within *most*, 0 if that is not known."""
    if not most:
        return offset, max(length, least)
    length = min(max(length, least), most)
    return min(offset, most - length), length


def _size(region: BedRegion) -> str:
    return f"{region.width} x {region.height} at {region.x_offset}, {region.y_offset}"


def _dpi(side: MediaSide) -> str:
    return f"{side.x_resolution} x {side.y_resolution} dpi" if side.x_resolution and side.y_resolution else ""
