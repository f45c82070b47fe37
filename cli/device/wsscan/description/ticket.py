"""Scan tickets: what a client asks for, what the scanner makes of it, and what the client does wrong.

A value that the scanner does not have is replaced by its default, unless the element is marked MustHonor; an unknown
Format is always refused. What is wrong with a ticket and does no harm is a *deviation*: it is recorded, not refused,
since devices differ in it. Source: ws-scan.md section 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from postscan.cli.device.wsscan.protocol.soap import WsdFault, child, clark, local_name, text

INPUT_SOURCES: Final = ("Platen", "ADF", "ADFDuplex")
COLORS: Final = ("RGB24", "Grayscale8", "BlackAndWhite1")
RESOLUTIONS: Final = (75, 100, 150, 200, 300, 600)
A4: Final = (8268, 11693)
"""Width and height of the largest region, in 1/1000 inch."""

_PARAMETERS: Final = (
    *("Format", "CompressionQualityFactor", "ImagesToTransfer", "InputSource", "FilmScanMode", "ContentType"),
    *("InputSize", "Exposure", "Scaling", "Rotation", "MediaSides"),
)
_DESCRIPTION: Final = ("JobName", "JobOriginatingUserName", "JobInformation")
_CONTENT_TYPES: Final = ("Auto", "Text", "Photo", "Halftone", "Mixed")
_MAX_INT: Final = 2**31 - 1


@dataclass(frozen=True)
class FinalTicket:
    """What will be used: keywords of WS-Scan, dots per inch, 1/1000 inch; `replaced` names the substituted elements."""

    format: str
    quality: int = 80
    images: int = 0
    input_source: str = "Platen"
    content_type: str = "Auto"
    color: str = "RGB24"
    resolution: tuple[int, int] = (300, 300)
    offset: tuple[int, int] = (0, 0)
    region: tuple[int, int] = A4
    job_name: str = ""
    user_name: str = ""
    information: str = ""
    replaced: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ReadTicket:
    """A ticket as read: what will be used, and the deviations from the schema or the configuration."""

    final: FinalTicket
    deviations: tuple[str, ...]


def read_ticket(ticket: etree._Element | None, formats: Sequence[str], default: FinalTicket) -> ReadTicket:
    """Read a `wscn:ScanTicket`; raise `WsdFault` for a Format that is not in *formats*, or a MustHonor without it."""
    if ticket is None:
        raise WsdFault("wscn:InvalidArgs", "ScanTicket is missing.")
    reader = _TicketReader(ticket, default)
    return reader.read(formats)


class _TicketReader:
    def __init__(self, ticket: etree._Element, default: FinalTicket) -> None:
        self._ticket = ticket
        self._parameters = child(ticket, "wscn:DocumentParameters")
        self._final = default
        self._replaced: set[str] = set()
        self._deviations: list[str] = []

    def read(self, formats: Sequence[str]) -> ReadTicket:
        """Return what will be used."""
        self._check_order("ScanTicket", self._ticket, ("JobDescription", "DocumentParameters"))
        self._check_order("DocumentParameters", self._parameters, _PARAMETERS)
        description = child(self._ticket, "wscn:JobDescription")
        for name in _DESCRIPTION:
            if child(description, f"wscn:{name}") is None:
                self._deviations.append(f"JobDescription has no {name}")
        wanted = text(self._parameters, "wscn:Format")
        if wanted and wanted not in formats:
            raise WsdFault("wscn:ClientErrorFormatNotSupported", f"The format {wanted[:40]!r} is not supported.")
        front = "wscn:MediaSides/wscn:MediaFront"
        source = self._keyword("wscn:InputSource", INPUT_SOURCES, self._final.input_source)
        if child(self._parameters, "wscn:MediaSides/wscn:MediaBack") is not None and source != "ADFDuplex":
            self._deviations.append(f"MediaBack with {source}")
        final = replace(
            self._final,
            format=wanted or self._final.format,
            quality=self._number("wscn:CompressionQualityFactor", self._final.quality, most=100),
            images=self._number("wscn:ImagesToTransfer", self._final.images),
            input_source=source,
            content_type=self._keyword("wscn:ContentType", _CONTENT_TYPES, self._final.content_type),
            color=self._keyword(f"{front}/wscn:ColorProcessing", COLORS, self._final.color),
            resolution=self._resolution(f"{front}/wscn:Resolution"),
            offset=self._pair(f"{front}/wscn:ScanRegion", "ScanRegionXOffset", "ScanRegionYOffset", (0, 0)),
            region=self._pair(f"{front}/wscn:ScanRegion", "ScanRegionWidth", "ScanRegionHeight", self._final.region),
            job_name=text(description, "wscn:JobName")[:255],
            user_name=text(description, "wscn:JobOriginatingUserName")[:255],
            information=text(description, "wscn:JobInformation")[:255],
        )
        self._check_booleans()
        return ReadTicket(replace(final, replaced=frozenset(self._replaced)), tuple(self._deviations))

    def _keyword(self, path: str, known: Iterable[str], default: str) -> str:
        given = text(self._parameters, path)
        if not given or given in known:
            return given or default
        self._replace(path, f"{given[:40]!r} is not one of {', '.join(known)}")
        return default

    def _number(self, path: str, default: int, most: int = _MAX_INT) -> int:
        given = text(self._parameters, path)
        if not given:
            return default
        if given.isascii() and given.isdecimal() and len(given) < 12 and int(given) <= most:
            return int(given)
        self._replace(path, f"{given[:40]!r} is not a number from 0 to {most}")
        return default

    def _resolution(self, path: str) -> tuple[int, int]:
        across = self._number(f"{path}/wscn:Width", self._final.resolution[0])
        down = self._number(f"{path}/wscn:Height", across)
        if across in RESOLUTIONS and down in RESOLUTIONS:
            return across, down
        self._replace(path, f"{across} x {down} dpi is not supported")
        return self._final.resolution

    def _pair(self, path: str, first: str, second: str, default: tuple[int, int]) -> tuple[int, int]:
        pair = (self._number(f"{path}/wscn:{first}", default[0]), self._number(f"{path}/wscn:{second}", default[1]))
        if pair[0] <= A4[0] and pair[1] <= A4[1]:
            return pair
        self._replace(path, f"{pair[0]} x {pair[1]} is larger than the glass")
        return default

    def _replace(self, path: str, why: str) -> None:
        element = child(self._parameters, path)
        name = path.rpartition(":")[2]
        if element is not None and element.get(clark("wscn:MustHonor")) in ("true", "1"):
            raise WsdFault("wscn:ClientErrorConflictingRequiredParameters", f"{name}: {why}.")
        self._replaced.add(name)
        self._deviations.append(f"{name}: {why}")

    def _check_order(self, name: str, element: etree._Element | None, order: Sequence[str]) -> None:
        if element is None:
            return
        given = [local_name(one) for one in element.iterchildren("*")]
        if given != sorted(given, key=lambda one: order.index(one) if one in order else len(order)):
            self._deviations.append(f"{name} has {' '.join(given)[:200]}; the schema's order is {' '.join(order)}")

    def _check_booleans(self) -> None:
        for name in ("DocumentSizeAutoDetect", "AutoExposure"):
            for element in self._ticket.iterdescendants(clark(f"wscn:{name}")):
                if (element.text or "").strip() not in ("true", "false", "1", "0"):
                    raise WsdFault("wscn:InvalidArgs", f"{name} is {(element.text or '')[:20]!r}, not true or false.")
