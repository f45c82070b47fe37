"""The messages of WS-Discovery as a client sends and reads them: Probe and Resolve out; matches, Hello and Bye in.

Source: ws-scan.md section 3; dpws.md sections 3 and 6; WSS-001.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from lxml import etree

from postscan.soap.discovery.messages import PROBE, RESOLVE, TO_ALL
from postscan.soap.wsscan.faults import InvalidAnswer
from postscan.soap.wsscan.messages import envelope
from postscan.soap.wsscan.messages.device_xml import child, qualified_names, text
from postscan.soap.wsscan.messages.names import wscn
from postscan.soap.xml import namespaces
from postscan.soap.xml.writing import escape

SCAN_DEVICE: Final = wscn("ScanDeviceType")
"""The type of a device with a scan service; in the answer, never in the question: some devices do not answer it."""

MOST_ADDRESSES: Final = 16
"""Most XAddrs of an announcement that are looked at."""

LONGEST_ENDPOINT: Final = 255

_KINDS: Final[dict[str, Literal["match", "hello", "bye"]]] = {
    "ProbeMatches": "match",
    "ResolveMatches": "match",
    "Hello": "hello",
    "Bye": "bye",
}
_INSTANCE: Final = re.compile(r"[0-9]{1,10}")
_DECLARED: Final = (
    f'xmlns:soap="{namespaces.SOAP}" xmlns:wsa="{namespaces.WSA}" xmlns:wsd="{namespaces.WSD}" '
    f'xmlns:wsdp="{namespaces.WSDP}"'
)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a device says of itself: its endpoint, types as Clark names, addresses, and the run of its AppSequence.

    `instance` is -1 if there is none. `relates_to` is the MessageID of the question, "" for Hello and Bye.
    """

    kind: Literal["match", "hello", "bye"]
    endpoint: str
    types: tuple[str, ...] = ()
    xaddrs: tuple[str, ...] = ()
    instance: int = -1
    relates_to: str = ""

    @property
    def is_scanner(self) -> bool:
        """Whether its types contain the type of a device that scans."""
        return SCAN_DEVICE in self.types


def probe(message_id: str) -> bytes:
    """Return a Probe for all devices."""
    return _question(PROBE, message_id, "<wsd:Probe><wsd:Types>wsdp:Device</wsd:Types></wsd:Probe>")


def resolve(message_id: str, endpoint: str) -> bytes:
    """Return a Resolve for the address of one endpoint."""
    address = f"<wsa:Address>{escape(endpoint)}</wsa:Address>"
    body = f"<wsd:Resolve><wsa:EndpointReference>{address}</wsa:EndpointReference></wsd:Resolve>"
    return _question(RESOLVE, message_id, body)


def read(data: bytes) -> tuple[Announcement, ...]:
    """Return the announcements in an envelope, none for another message; raise `InvalidAnswer`."""
    root = envelope.read_envelope(data)
    blocks = {str(one.tag): one for one in reversed(envelope.headers_of(root))}
    sequence = blocks.get(f"{{{namespaces.WSD}}}AppSequence")
    instance = sequence.get("InstanceId", "").strip() if sequence is not None else ""
    number = int(instance) if _INSTANCE.fullmatch(instance) else -1
    return announcements(envelope.body_of(root), number, text(blocks.get(namespaces.wsa("RelatesTo"))))


def announcements(body: etree._Element, instance: int = -1, relates_to: str = "") -> tuple[Announcement, ...]:
    """Return the announcements in the element of a Body; raise `InvalidAnswer` for one without an endpoint."""
    uri, name = namespaces.split(str(body.tag))
    kind = _KINDS.get(name)
    if kind is None or uri != namespaces.WSD:
        return ()
    entries = list(body.iterchildren(etree.Element))[:MOST_ADDRESSES] if kind == "match" else [body]
    return tuple(_announcement(kind, one, instance, relates_to) for one in entries)


def endpoint_of(reference: etree._Element | None) -> str:
    """Return the address of an endpoint reference in lower case, with `urn:uuid:` before a bare UUID."""
    found = text(child(reference, namespaces.wsa("Address"))).lower()
    found = "urn:" + found if found.startswith("uuid:") else found
    return found if len(found) <= LONGEST_ENDPOINT else ""


def _announcement(
    kind: Literal["match", "hello", "bye"], entry: etree._Element, instance: int, relates_to: str
) -> Announcement:
    endpoint = endpoint_of(child(entry, namespaces.wsa("EndpointReference")))
    if not endpoint:
        raise InvalidAnswer("an announcement has no endpoint")
    xaddrs = text(child(entry, f"{{{namespaces.WSD}}}XAddrs"), 8192).split()
    types = qualified_names(child(entry, f"{{{namespaces.WSD}}}Types"))
    return Announcement(kind, endpoint, types, tuple(xaddrs[:MOST_ADDRESSES]), instance, relates_to)


def _question(action: str, message_id: str, body: str) -> bytes:
    return (
        f"<soap:Envelope {_DECLARED}><soap:Header><wsa:To>{TO_ALL}</wsa:To><wsa:Action>{action}</wsa:Action>"
        f"<wsa:MessageID>{escape(message_id)}</wsa:MessageID></soap:Header><soap:Body>{body}</soap:Body></soap:Envelope>"
    ).encode()
