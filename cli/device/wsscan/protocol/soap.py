"""SOAP messages of the simulated scanner: read a request, write a response, an event or a fault.

The code is written for the simulator alone and shares nothing with the server: the one proves the other.
Source: dpws.md sections 2 and 4; ws-scan.md sections 1 and 8.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.core.errors import PostscanError

WSCN: Final = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"
WSA: Final = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSE: Final = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
WSD: Final = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
WSDP: Final = "http://schemas.xmlsoap.org/ws/2006/02/devprof"
WSX: Final = "http://schemas.xmlsoap.org/ws/2004/09/mex"
SOAP: Final = "http://www.w3.org/2003/05/soap-envelope"
XOP: Final = "http://www.w3.org/2004/08/xop/include"
PNPX: Final = "http://schemas.microsoft.com/windows/pnpx/2005/10"

ANONYMOUS: Final = f"{WSA}/role/anonymous"
FAULT: Final = f"{WSA}/fault"
GET: Final = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"

NAMESPACES: Final = {
    "soap": SOAP,
    "wsa": WSA,
    "wse": WSE,
    "wsd": WSD,
    "wsdp": WSDP,
    "wsx": WSX,
    "wscn": WSCN,
    "pnpx": PNPX,
    "xop": XOP,
}
"""The prefixes of this package's code; a scanner may write others."""

ODD_PREFIXES: Final = {"soap": "SOAP-ENV", "wsa": "a1", "wse": "e", "wsd": "disco", "wsdp": "dp", "wscn": "i0"}
"""Other prefixes for the same namespaces, as some devices use them (ws-scan.md section 10)."""

_MAX_DEPTH: Final = 64
_DECLARATION: Final = re.compile(rb'(xmlns(?::[\w-]+)?=")http:')


class NotSoap(PostscanError):
    """The data is not a SOAP envelope."""


class WsdFault(Exception):
    """A fault of the scanner: `subcode` as `prefix:name`; the receiver is to blame if `sender` is false."""

    def __init__(self, subcode: str, text: str, *, sender: bool = True) -> None:
        super().__init__(text)
        self.subcode = subcode
        self.sender = sender


@dataclass(frozen=True, slots=True)
class WsdRequest:
    """A request: its Action, MessageID and To, its headers, and the first element of its body."""

    action: str
    message_id: str
    to: str
    header: etree._Element
    body: etree._Element | None

    @property
    def name(self) -> str:
        """The last segment of the action: the name of the operation."""
        return self.action.rpartition("/")[2]

    def header_text(self, name: str) -> str:
        """Return the text of a header block (`prefix:name`); "" without one."""
        return text(self.header, name)


class SoapWriter:
    """Build elements and envelopes with the prefixes of one scanner."""

    def __init__(self, odd: bool = False, https: bool = False) -> None:
        self._prefixes = {prefix: ODD_PREFIXES.get(prefix, prefix) if odd else prefix for prefix in NAMESPACES}
        self._names = {self._prefixes[prefix]: uri for prefix, uri in NAMESPACES.items()}
        self._odd, self._https = odd, https

    def element(self, name: str, *content: str | etree._Element, **attributes: str) -> etree._Element:
        """Return an element `prefix:name` with this text and these children; attributes have no namespace."""
        made = etree.Element(clark(name), {}, self._names)
        for key, value in attributes.items():
            made.set(key, value)
        for part in content:
            if isinstance(part, str):
                made.text = (made.text or "") + part
            else:
                made.append(part)
        return made

    def qname(self, name: str) -> str:
        """Return `prefix:name` with this scanner's prefix: the value of an element whose type is QName."""
        prefix, _, local = name.partition(":")
        return f"{self._prefixes[prefix]}:{local}"

    def envelope(
        self,
        action: str,
        content: Sequence[etree._Element] = (),
        *,
        to: str = ANONYMOUS,
        relates_to: str = "",
        headers: Sequence[etree._Element] = (),
    ) -> bytes:
        """Return a message as UTF-8 with a MessageID of its own."""
        e = self.element
        addressing = [
            e("wsa:To", to),
            e("wsa:Action", action),
            e("wsa:MessageID", f"urn:uuid:{uuid.uuid4()}"),
        ]
        if relates_to and not self._odd:
            addressing.append(e("wsa:RelatesTo", relates_to))
        root = e("soap:Envelope", e("soap:Header", *addressing, *headers), e("soap:Body", *content))
        etree.cleanup_namespaces(root, keep_ns_prefixes=list(self._names))
        data = etree.tostring(root, xml_declaration=True, encoding="utf-8")
        return _DECLARATION.sub(rb"\1https:", data) if self._https else data

    def fault(self, fault: WsdFault, relates_to: str) -> bytes:
        """Return the envelope of a fault."""
        e = self.element
        code = "soap:Sender" if fault.sender else "soap:Receiver"
        reason = e("soap:Text", str(fault))
        reason.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
        subcode = e("soap:Subcode", e("soap:Value", self.qname(fault.subcode)))
        content = e("soap:Fault", e("soap:Code", e("soap:Value", self.qname(code)), subcode), e("soap:Reason", reason))
        return self.envelope(FAULT, [content], relates_to=relates_to)


def clark(name: str) -> str:
    """Return `prefix:name` as a Clark name."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def read(data: bytes) -> WsdRequest:
    """Return the request in *data*; raise `NotSoap`. A DTD is refused."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotSoap(f"not XML: {error}") from None
    if root.getroottree().docinfo.doctype:
        raise NotSoap("has a DTD")
    header, body = root.find(clark("soap:Header")), root.find(clark("soap:Body"))
    if root.tag != clark("soap:Envelope") or header is None or body is None:
        raise NotSoap("is not a SOAP 1.2 envelope with Header and Body")
    if any(True for _ in root.iterdescendants(etree.Entity)) or _depth(root) > _MAX_DEPTH:
        raise NotSoap("has entities, or is nested too deeply")
    return WsdRequest(
        action=text(header, "wsa:Action"),
        message_id=text(header, "wsa:MessageID"),
        to=text(header, "wsa:To"),
        header=header,
        body=next(body.iterchildren("*"), None),
    )


def text(element: etree._Element | None, path: str, default: str = "") -> str:
    """Return the text at a path of `prefix:name` segments, without blanks around it."""
    if element is None:
        return default
    found = element.find("/".join(map(clark, path.split("/"))))
    return default if found is None else (found.text or "").strip()


def child(element: etree._Element | None, path: str) -> etree._Element | None:
    """Return the element at a path of `prefix:name` segments."""
    return None if element is None else element.find("/".join(map(clark, path.split("/"))))


def local_name(element: etree._Element) -> str:
    """Return the name of an element without its namespace."""
    return etree.QName(element).localname


def qname_value(element: etree._Element) -> str:
    """Return the QName in an element's text as a Clark name; without a known prefix, the name alone."""
    prefix, colon, local = (element.text or "").strip().rpartition(":")
    uri = element.nsmap.get(prefix if colon else None)
    return f"{{{uri}}}{local}" if uri else local


def _depth(root: etree._Element) -> int:
    deepest = depth = 0
    for event, _element in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        deepest = max(deepest, depth)
    return deepest
