"""The elements that describe a ticket: ScanTicket, DocumentFinalParameters and ImageInformation.

Source: ws-scan.md sections 6 and 7.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from postscan.cli.device.wsscan.description.ticket import FinalTicket
from postscan.cli.device.wsscan.protocol.soap import SoapWriter, clark

_BITS: Final = {"RGB24": 24, "Grayscale8": 8, "BlackAndWhite1": 1}


def scan_ticket(w: SoapWriter, name: str, ticket: FinalTicket, *, region: tuple[int, int]) -> etree._Element:
    """Return a ScanTicketType; a *region* of 0 x 0 is left to the client."""
    e = w.element
    return e(
        name,
        e(
            "wscn:JobDescription",
            e("wscn:JobName", ticket.job_name),
            e("wscn:JobOriginatingUserName", ticket.user_name),
            e("wscn:JobInformation", ticket.information),
        ),
        e("wscn:DocumentParameters", *_parameters(w, ticket, region)),
    )


def final_parameters(w: SoapWriter, ticket: FinalTicket) -> etree._Element:
    """Return DocumentFinalParameters, which marks each substituted element with Override."""
    made = w.element("wscn:DocumentFinalParameters", *_parameters(w, ticket, ticket.region))
    for element in made.iterdescendants():
        parent = element.getparent()
        names = {etree.QName(one).localname for one in (element, parent) if one is not None}
        if names & ticket.replaced and not len(element):
            element.set(clark("wscn:Override"), "true")
    return made


def image_information(w: SoapWriter, ticket: FinalTicket, pixels: tuple[int, int]) -> etree._Element:
    """Return ImageInformation for a page of these pixels; the back has it with ADFDuplex."""
    e = w.element
    width, height = pixels
    sides = ["Front", "Back"] if ticket.input_source == "ADFDuplex" else ["Front"]
    return e(
        "wscn:ImageInformation",
        *(
            e(
                f"wscn:Media{side}ImageInfo",
                e("wscn:PixelsPerLine", str(width)),
                e("wscn:NumberOfLines", str(height)),
                e("wscn:BytesPerLine", str((width * _BITS[ticket.color] + 7) // 8)),
            )
            for side in sides
        ),
    )


def _parameters(w: SoapWriter, ticket: FinalTicket, region: tuple[int, int]) -> list[etree._Element]:
    e = w.element
    sides = ["Front", "Back"] if ticket.input_source == "ADFDuplex" else ["Front"]
    return [
        e("wscn:Format", ticket.format),
        e("wscn:CompressionQualityFactor", str(ticket.quality)),
        e("wscn:ImagesToTransfer", str(ticket.images)),
        e("wscn:InputSource", ticket.input_source),
        e("wscn:ContentType", ticket.content_type),
        e("wscn:InputSize", _sizes(w, "wscn:InputMediaSize", region)),
        e(
            "wscn:Exposure",
            e("wscn:ExposureSettings", *(e(f"wscn:{name}", "0") for name in ("Contrast", "Brightness", "Sharpness"))),
        ),
        e("wscn:Scaling", e("wscn:ScalingWidth", "100"), e("wscn:ScalingHeight", "100")),
        e("wscn:Rotation", "0"),
        e("wscn:MediaSides", *(_side(w, side, ticket, region) for side in sides)),
    ]


def _side(w: SoapWriter, side: str, ticket: FinalTicket, region: tuple[int, int]) -> etree._Element:
    e = w.element
    return e(
        f"wscn:Media{side}",
        e(
            "wscn:ScanRegion",
            e("wscn:ScanRegionXOffset", str(ticket.offset[0])),
            e("wscn:ScanRegionYOffset", str(ticket.offset[1])),
            e("wscn:ScanRegionWidth", str(region[0])),
            e("wscn:ScanRegionHeight", str(region[1])),
        ),
        e("wscn:ColorProcessing", ticket.color),
        _sizes(w, "wscn:Resolution", ticket.resolution),
    )


def _sizes(w: SoapWriter, name: str, pair: tuple[int, int]) -> etree._Element:
    return w.element(name, w.element("wscn:Width", str(pair[0])), w.element("wscn:Height", str(pair[1])))
