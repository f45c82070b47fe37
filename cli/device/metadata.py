"""WS-Transfer Get, and the metadata in its response: model, device and hosted services.

Source: dpws.md sections 2, 7 and 11.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.cli.device.discovery import Match
from postscan.cli.device.transport import DSP, WSA, BadAnswer, Transport, call, envelope, only_child, qnames

WSDP: Final = "http://schemas.xmlsoap.org/ws/2006/02/devprof"
WSX: Final = "http://schemas.xmlsoap.org/ws/2004/09/mex"
GET: Final = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"
PROCESSING: Final = f"{{{DSP}}}RepositoryProcessingServiceType"
"""The type of WS-DSP's service; no public document defines one (dpws.md section 6.4)."""

_NAMES: Final = {"wsa": WSA, "wsx": WSX, "wsdp": WSDP}


@dataclass(frozen=True, slots=True)
class Service:
    """One hosted service; types as Clark names."""

    id: str
    types: tuple[str, ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """A device's metadata and hosted services; "" for absent values."""

    address: str
    manufacturer: str
    model: str
    model_number: str
    name: str
    serial_number: str
    services: tuple[Service, ...]


def describe(transport: Transport, match: Match) -> Description:
    """Get the metadata from the device's first address (DPW-030); raise `DeviceError`."""
    if not match.addresses:
        raise BadAnswer(f"{match.endpoint} has no address, neither by Probe nor by Resolve")
    address = match.addresses[0]
    if not _is_web(address):
        raise BadAnswer(f"{match.endpoint} has the address {address}; expected http or https")
    body = call(transport, address, envelope(match.endpoint, GET, "", names={}))
    metadata = only_child(body, "wsx:Metadata")
    sections = {one.get("Dialect", "").strip(): one for one in metadata.iterfind("wsx:MetadataSection", _NAMES)}
    model, device, hosting = (_section(sections, name) for name in ("ThisModel", "ThisDevice", "Relationship"))
    return Description(
        address=address,
        manufacturer=_text(model, "wsdp:Manufacturer"),
        model=_text(model, "wsdp:ModelName"),
        model_number=_text(model, "wsdp:ModelNumber"),
        name=_text(device, "wsdp:FriendlyName"),
        serial_number=_text(device, "wsdp:SerialNumber"),
        services=tuple(map(_service, hosting.iterfind("wsdp:Hosted", _NAMES))),
    )


def processing(description: Description) -> str:
    """Return the address of WS-DSP (DPW-087); raise `BadAnswer` with the hosted services if there is none."""
    for service in description.services:
        for address in filter(_is_web, service.addresses):
            if PROCESSING in service.types:
                return address
    hosted = "; ".join(f"{' '.join(one.types)} at {' '.join(one.addresses)}" for one in description.services)
    raise BadAnswer(f"{description.address} hosts no service of type {PROCESSING}; it has: {hosted or 'nothing'}")


def _section(sections: dict[str, etree._Element], name: str) -> etree._Element:
    section = sections.get(f"{WSDP}/{name}")
    found = None if section is None else section.find(f"wsdp:{name}", _NAMES)
    if found is None:
        raise BadAnswer(f"the metadata has no wsdp:{name}")
    return found


def _service(hosted: etree._Element) -> Service:
    types = hosted.find("wsdp:Types", _NAMES)
    addresses = hosted.iterfind("wsa:EndpointReference/wsa:Address", _NAMES)
    return Service(
        id=_text(hosted, "wsdp:ServiceId"),
        types=() if types is None else qnames(types),
        addresses=tuple((one.text or "").strip() for one in addresses),
    )


def _text(element: etree._Element, path: str) -> str:
    return element.findtext(path, "", _NAMES).strip()


def _is_web(address: str) -> bool:
    return address.lower().startswith(("http://", "https://"))
