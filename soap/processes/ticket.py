"""The scan ticket of a stored process, as the core gives it to sources.

Source: scan-process.md section 4. Exposure, Scaling, Rotation, FilmScanMode, MediaBack and MustHonor are not read.
"""

from __future__ import annotations

import re
from typing import Final

from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.core.filters.source.ticket import ScanTicket
from postscan.soap.xml import namespaces
from postscan.soap.xml.reading import children, tag, text

_NAMESPACES: Final = (
    "http://schemas.microsoft.com/windows/2006/08/wdp/scan",
    "http://schemas.microsoft.com/windows/2006/01/wdp/scan",
)
_DESCRIPTION: Final = ("JobName", "JobOriginatingUserName", "JobInformation")
_PARAMETERS: Final = (
    "Format",
    "CompressionQualityFactor",
    "ImagesToTransfer",
    "InputSource",
    "FilmScanMode",
    "ContentType",
    "InputSize",
    "Exposure",
    "Scaling",
    "Rotation",
    "MediaSides",
)
_REGION: Final = ("ScanRegionXOffset", "ScanRegionYOffset", "ScanRegionWidth", "ScanRegionHeight")
_NUMBER: Final = re.compile(r"\+?[0-9]{1,12}")
_MOST: Final = (1 << 31) - 1

_Found = dict[str, etree._Element]


def read(element: etree._Element) -> ScanTicket:
    """Return the ticket in a psp:ScanTicket; what it does not have is empty.

    The region is the ScanRegion of the front, or else the InputMediaSize from the upper left corner on; a resolution
    without Height has it from Width. Raises `InvalidArgument` with the Clark name of the invalid element.
    """
    names = {namespaces.split(tag(child))[0] for child in element}
    reader = _ProcessTicketReader(next((one for one in _NAMESPACES if one in names), _NAMESPACES[0]))
    top = reader.below(element, "JobDescription", "DocumentParameters")
    job = reader.child(top, "JobDescription", *_DESCRIPTION)
    wanted = reader.child(top, "DocumentParameters", *_PARAMETERS)
    front = reader.front(wanted)
    x_resolution, y_resolution = reader.resolution(front)
    width, height, x_offset, y_offset = reader.region(front, wanted)
    format = reader.text(wanted, "Format")
    return ScanTicket(
        formats=(format,) if format else (),
        input_source=reader.text(wanted, "InputSource"),
        images=reader.number(wanted, "ImagesToTransfer"),
        color=reader.text(front, "ColorProcessing"),
        x_resolution=x_resolution,
        y_resolution=y_resolution,
        width=width,
        height=height,
        x_offset=x_offset,
        y_offset=y_offset,
        content_type=reader.text(wanted, "ContentType"),
        quality=reader.number(wanted, "CompressionQualityFactor", most=100),
        job_name=reader.text(job, "JobName"),
        user_name=reader.text(job, "JobOriginatingUserName"),
        information=reader.text(job, "JobInformation"),
    )


class _ProcessTicketReader:
    """Reads elements of one of the two namespaces."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def below(self, element: etree._Element, *names: str) -> _Found:
        """Return the children of an element, which may have only these names."""
        return children(element, self._namespace, names)

    def child(self, found: _Found, name: str, *names: str) -> _Found:
        """Return the children of the child *name*; none if it is missing."""
        return self.below(found[name], *names) if name in found else {}

    def text(self, found: _Found, name: str) -> str:
        """Return the text of the child *name*, at most 255 characters; "" if it is missing."""
        return text(found[name]) if name in found else ""

    def number(self, found: _Found, name: str, *, least: int = 0, most: int = _MOST) -> int:
        """Return the number in the child *name*; 0 if it is missing."""
        if name not in found:
            return 0
        value = text(found[name])
        if not _NUMBER.fullmatch(value) or not least <= int(value) <= most:
            raise InvalidArgument(tag(found[name]), value, f"a number from {least} to {most}")
        return int(value)

    def front(self, wanted: _Found) -> _Found:
        """Return the settings of the front; those of the back are not read."""
        sides = self.child(wanted, "MediaSides", "MediaFront", "MediaBack")
        return self.child(sides, "MediaFront", "ScanRegion", "ColorProcessing", "Resolution")

    def resolution(self, front: _Found) -> tuple[int, int]:
        """Return the dots per inch along x and y; 0 and 0 if there is no Resolution."""
        found = self.child(front, "Resolution", "Width", "Height")
        width = self.number(found, "Width", least=1)
        return width, self.number(found, "Height", least=1) or width

    def region(self, front: _Found, wanted: _Found) -> tuple[int, int, int, int]:
        """Return width, height, and offsets along x and y, in 1/1000 inch; zeros if none is given."""
        if "ScanRegion" in front:
            found = self.child(front, "ScanRegion", *_REGION)
            width = self.number(found, "ScanRegionWidth", least=1)
            height = self.number(found, "ScanRegionHeight", least=1)
            offsets = self.number(found, "ScanRegionXOffset"), self.number(found, "ScanRegionYOffset")
            return width, height, *offsets
        size = self.child(wanted, "InputSize", "DocumentSizeAutoDetect", "InputMediaSize")
        media = self.child(size, "InputMediaSize", "Width", "Height")
        return self.number(media, "Width", least=1), self.number(media, "Height", least=1), 0, 0
