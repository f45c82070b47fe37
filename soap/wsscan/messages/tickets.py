"""Write a ScanTicket, and read document parameters. Source: ws-scan.md sections 7 and 14; WSS-036, WSS-040."""

from __future__ import annotations

from lxml import etree

from postscan.soap.wsscan.messages import fields
from postscan.soap.wsscan.messages.configuration import BedRegion, DeviceTicket, DocumentParameters, MediaSide
from postscan.soap.xml.writing import escape


def write_ticket(ticket: DeviceTicket) -> str:
    """Return the ScanTicket as XML: all children of JobDescription, DocumentParameters in the order of the schema."""
    about, what = ticket.description, ticket.parameters
    description = _element(
        "JobDescription",
        _text("JobName", about.name)
        + _text("JobOriginatingUserName", about.user_name)
        + _text("JobInformation", about.information),
    )
    parameters = _element(
        "DocumentParameters",
        _given("Format", what.format)
        + _given("CompressionQualityFactor", what.quality)
        + ("" if what.images is None else _text("ImagesToTransfer", str(what.images)))
        + _given("InputSource", what.input_source)
        + _given("ContentType", what.content_type)
        + _sides(what.front),
    )
    return _element("ScanTicket", description + parameters)


def read_parameters(element: etree._Element | None) -> DocumentParameters:
    """Return the values of a DocumentParameters or DocumentFinalParameters element; those of none without one."""
    side = fields.find(element, "MediaSides", "MediaFront")
    return DocumentParameters(
        format=fields.text(element, "Format"),
        quality=min(100, fields.number(element, "CompressionQualityFactor") or 0),
        images=fields.number(element, "ImagesToTransfer"),
        input_source=fields.text(element, "InputSource"),
        content_type=fields.text(element, "ContentType"),
        front=MediaSide(
            color=fields.text(side, "ColorProcessing"),
            x_resolution=fields.number(side, "Resolution", "Width") or 0,
            y_resolution=fields.number(side, "Resolution", "Height") or 0,
            region=_region(fields.find(side, "ScanRegion")),
        ),
    )


def _region(element: etree._Element | None) -> BedRegion | None:
    """Return a region; None if it is missing, or of width or height 0, which is the whole bed."""
    x, y, width, height = (
        fields.number(element, f"ScanRegion{name}") or 0 for name in ("XOffset", "YOffset", "Width", "Height")
    )
    return BedRegion(x, y, width, height) if width and height else None


def _sides(side: MediaSide) -> str:
    content = "" if side.region is None else _write_region(side.region)
    content += _given("ColorProcessing", side.color)
    if side.x_resolution and side.y_resolution:
        size = _text("Width", str(side.x_resolution)) + _text("Height", str(side.y_resolution))
        content += _element("Resolution", size)
    return _element("MediaSides", _element("MediaFront", content)) if content else ""


def _write_region(region: BedRegion) -> str:
    return _element(
        "ScanRegion",
        _text("ScanRegionXOffset", str(region.x_offset))
        + _text("ScanRegionYOffset", str(region.y_offset))
        + _text("ScanRegionWidth", str(region.width))
        + _text("ScanRegionHeight", str(region.height)),
    )


def _given(name: str, value: str | int) -> str:
    return _text(name, str(value)) if value else ""


def _text(name: str, value: str) -> str:
    return _element(name, escape(value))


def _element(name: str, content: str) -> str:
    return f"<wscn:{name}>{content}</wscn:{name}>"
