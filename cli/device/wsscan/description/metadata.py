"""Metadata of the simulated scanner: the response to WS-Transfer Get, and the match of a Probe.

Source: dpws.md sections 6.3 and 7.1; ws-scan.md sections 1 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lxml import etree

from postscan.cli.device.wsscan.protocol.soap import WSDP, SoapWriter

DEVICE_TYPES: Final = ("wsdp:Device", "wscn:ScanDeviceType")
FIRMWARE: Final = "1.0"
"""Optional in DPWS; the client wsd-scan reads no metadata without it."""

SERVICE_ID: Final = "urn:postscan:simulated:scanner-service"


def metadata(w: SoapWriter, *, uuid: str, name: str, model: str, service: str) -> etree._Element:
    """Return wsx:Metadata with ThisModel, ThisDevice and the scan service as the hosted service."""
    e = w.element
    host = e(
        "wsdp:Host",
        reference(w, uuid),
        e("wsdp:Types", " ".join(map(w.qname, DEVICE_TYPES))),
        e("wsdp:ServiceId", uuid),
    )
    hosted = e(
        "wsdp:Hosted",
        reference(w, service),
        e("wsdp:Types", w.qname("wscn:ScannerServiceType")),
        e("wsdp:ServiceId", SERVICE_ID),
    )
    return e(
        "wsx:Metadata",
        _section(
            w,
            "ThisModel",
            e(
                "wsdp:ThisModel",
                e("wsdp:Manufacturer", "postscan"),
                e("wsdp:ModelName", model),
                e("pnpx:DeviceCategory", "Scanners"),
            ),
        ),
        _section(
            w,
            "ThisDevice",
            e(
                "wsdp:ThisDevice",
                e("wsdp:FriendlyName", name),
                e("wsdp:FirmwareVersion", FIRMWARE),
                e("wsdp:SerialNumber", uuid.rpartition(":")[2]),
            ),
        ),
        _section(w, "Relationship", e("wsdp:Relationship", host, hosted, Type=f"{WSDP}/host")),
    )


def reference(w: SoapWriter, address: str) -> etree._Element:
    """Return an EndpointReference."""
    return w.element("wsa:EndpointReference", w.element("wsa:Address", address))


def match(w: SoapWriter, name: str, uuid: str, addresses: Sequence[str], version: int) -> etree._Element:
    """Return the match of a Probe or Resolve, or the body of Hello, as the element *name*."""
    e = w.element
    return e(
        name,
        reference(w, uuid),
        e("wsd:Types", " ".join(map(w.qname, DEVICE_TYPES))),
        e("wsd:XAddrs", " ".join(addresses)),
        e("wsd:MetadataVersion", str(version)),
    )


def _section(w: SoapWriter, dialect: str, content: etree._Element) -> etree._Element:
    return w.element("wsx:MetadataSection", content, Dialect=f"{WSDP}/{dialect}")
