"""The metadata of a device: its name, and the address of its scan service.

The scan service has an address of its own, often with another path than the device. It is in the Hosted entry whose
types contain ScannerServiceType. Source: ws-scan.md section 3 (item 4); WSS-004.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.soap.wsscan.finding.messages import endpoint_of
from postscan.soap.wsscan.messages.device_xml import child, qualified_names, text
from postscan.soap.wsscan.messages.names import wscn
from postscan.soap.xml import namespaces

GET: Final = namespaces.WXF + "/Get"
SCAN_SERVICE: Final = wscn("ScannerServiceType")

_LONGEST_NAME: Final = 127


@dataclass(frozen=True, slots=True)
class DeviceMetadata:
    """The endpoint of a device ("" if it is missing), its name, and the URL of its scan service ("" without one)."""

    endpoint: str
    name: str
    model: str
    service: str


def read_metadata(body: etree._Element) -> DeviceMetadata:
    """Return what a Metadata element has; everything may be missing."""
    sections = [one for section in _all(body, namespaces.WSX, "MetadataSection") for one in section]
    device, model, relations = (
        [one for one in sections if one.tag == f"{{{namespaces.WSDP}}}{name}"]
        for name in ("ThisDevice", "ThisModel", "Relationship")
    )
    hosts = [one for relation in relations for one in _all(relation, namespaces.WSDP, "Host")]
    hosted = [one for relation in relations for one in _all(relation, namespaces.WSDP, "Hosted")]
    return DeviceMetadata(
        endpoint=next(filter(None, map(_endpoint, hosts)), ""),
        name=_name(device, "FriendlyName"),
        model=_name(model, "ModelName"),
        service=next((_address(one) for one in hosted if SCAN_SERVICE in _types(one) and _address(one)), ""),
    )


def _all(element: etree._Element, namespace: str, name: str) -> Iterator[etree._Element]:
    return element.iterchildren(f"{{{namespace}}}{name}")


def _name(elements: list[etree._Element], name: str) -> str:
    found = (text(child(one, f"{{{namespaces.WSDP}}}{name}"), _LONGEST_NAME) for one in elements)
    return next(filter(None, found), "")


def _types(hosted: etree._Element) -> tuple[str, ...]:
    return qualified_names(child(hosted, f"{{{namespaces.WSDP}}}Types"))


def _endpoint(host: etree._Element) -> str:
    return endpoint_of(child(host, namespaces.wsa("EndpointReference")))


def _address(hosted: etree._Element) -> str:
    return text(child(hosted, namespaces.wsa("EndpointReference"), namespaces.wsa("Address")))
