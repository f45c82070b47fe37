"""Ask a device for its elements and read them: configuration, default ticket, status.

Source: ws-scan.md sections 6 and 10; WSS-039.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from lxml import etree

from postscan.soap.wsscan.faults import InvalidAnswer
from postscan.soap.wsscan.messages import fields
from postscan.soap.wsscan.messages.configuration import (
    ADF,
    ADF_DUPLEX,
    FILM,
    PLATEN,
    ScannerConfiguration,
    ScannerElements,
    SourceCapabilities,
    WsdStatus,
)
from postscan.soap.wsscan.messages.names import wscn
from postscan.soap.wsscan.messages.tickets import read_parameters

CONFIGURATION: Final = "ScannerConfiguration"
DEFAULT_TICKET: Final = "DefaultScanTicket"
STATUS: Final = "ScannerStatus"
DESCRIPTION: Final = "ScannerDescription"


def write_get_elements(names: Iterable[str]) -> str:
    """Return the body of a GetScannerElementsRequest for these elements, as qualified names."""
    asked = "".join(f"<wscn:Name>wscn:{name}</wscn:Name>" for name in names)
    return (
        f"<wscn:GetScannerElementsRequest><wscn:RequestedElements>{asked}</wscn:RequestedElements>"
        f"</wscn:GetScannerElementsRequest>"
    )


def read_elements(body: etree._Element) -> ScannerElements:
    """Return the elements in a GetScannerElementsResponse; raise `InvalidAnswer` for another message."""
    if body.tag != wscn("GetScannerElementsResponse"):
        raise InvalidAnswer("expected a GetScannerElementsResponse")
    found = {
        name: element
        for data in fields.items(body, "ScannerElements", "ElementData")
        for name in (CONFIGURATION, DEFAULT_TICKET, STATUS)
        if (element := fields.find(data, name)) is not None
    }
    ticket, status = found.get(DEFAULT_TICKET), found.get(STATUS)
    configuration = found.get(CONFIGURATION)
    return ScannerElements(
        None if configuration is None else read_configuration(configuration),
        None if ticket is None else read_parameters(fields.find(ticket, "DocumentParameters")),
        None if status is None else read_status(status),
    )


def read_configuration(element: etree._Element) -> ScannerConfiguration:
    """Return the values of a ScannerConfiguration element.

    A feeder is duplex if it is said to be, or if it has a back (a Brother says no and has one).
    """
    device = fields.find(element, "DeviceSettings")
    lowest, highest = (
        fields.number(device, "CompressionQualityFactorSupported", name) for name in ("MinValue", "MaxValue")
    )
    sources = {}
    if (platen := fields.find(element, "Platen")) is not None:
        sources[PLATEN] = _capabilities(platen, "Platen")
    if (feeder := fields.find(element, "ADF")) is not None:
        front = fields.find(feeder, "ADFFront")
        sources[ADF] = _capabilities(front if front is not None else feeder, "ADF")
        if fields.boolean(feeder, "ADFSupportsDuplex") or fields.find(feeder, "ADFBack") is not None:
            sources[ADF_DUPLEX] = sources[ADF]
    if (film := fields.find(element, "Film")) is not None:
        sources[FILM] = _capabilities(film, "Film")
    return ScannerConfiguration(
        formats=fields.texts(device, "FormatsSupported", "FormatValue"),
        content_types=fields.texts(device, "ContentTypesSupported", "ContentTypeValue"),
        quality=None if lowest is None or highest is None or highest > 100 or lowest > highest else (lowest, highest),
        sources=MappingProxyType(sources),
    )


def read_status(element: etree._Element) -> WsdStatus:
    """Return the values of a ScannerStatus element."""
    return WsdStatus(
        fields.text(element, "ScannerState"), fields.texts(element, "ScannerStateReasons", "ScannerStateReason")
    )


def _capabilities(element: etree._Element, prefix: str) -> SourceCapabilities:
    resolutions = f"{prefix}Resolutions"
    smallest, largest = f"{prefix}MinimumSize", f"{prefix}MaximumSize"
    return SourceCapabilities(
        x_resolutions=fields.numbers(element, resolutions, "Widths", "Width"),
        y_resolutions=fields.numbers(element, resolutions, "Heights", "Height"),
        colors=fields.texts(element, f"{prefix}Color", "ColorEntry"),
        min_width=fields.number(element, smallest, "Width") or 0,
        min_height=fields.number(element, smallest, "Height") or 0,
        max_width=fields.number(element, largest, "Width") or 0,
        max_height=fields.number(element, largest, "Height") or 0,
    )
