"""SOAP requests of the simulated device over HTTP: build an envelope, send it, read the response or the fault.

It shares no code with the server. The transport can be replaced, which is how a device misbehaves.

    DeviceError
    ├── Unreachable     no connection, or it broke before the response
    ├── BadAnswer       the response is not SOAP, or relates to another request
    └── SoapFault       the server refused the request

Source: dpws.md sections 2, 4 and 5; ws-dsp.md sections 2 and 7.
"""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, Self
from xml.sax.saxutils import escape

import httpx2
from lxml import etree

from postscan.core.errors import PostscanError

SOAP: Final = "http://www.w3.org/2003/05/soap-envelope"
WSA: Final = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
DSP: Final = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
ANONYMOUS: Final = f"{WSA}/role/anonymous"
SOAP_TYPE: Final = "application/soap+xml; charset=utf-8"

_TIMEOUT: Final = httpx2.Timeout(60.0, connect=10.0)


class DeviceError(PostscanError):
    """A request of the device failed."""


class Unreachable(DeviceError):
    """There was no connection to the server, or it broke before the response."""


class BadAnswer(DeviceError):
    """The response is not one of a scan server."""


class SoapFault(DeviceError):
    """A SOAP fault from the server: `code` and `subcode` as `prefix:name`, `status` of HTTP."""

    def __init__(self, code: str, subcode: str, reason: str, detail: str, status: int) -> None:
        named = f"{code} {subcode}" if subcode else code
        super().__init__(f"{named}: {reason}{f' [{detail}]' if detail else ''} (HTTP {status})")
        self.code = code
        self.subcode = subcode
        self.reason = reason
        self.detail = detail
        self.status = status


@dataclass(frozen=True, slots=True)
class SoapMessage:
    """An envelope as bytes, with its Action and its MessageID."""

    id: str
    action: str
    data: bytes


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One POST, for the message with this `action`; each call of `content` yields the whole body."""

    url: str
    action: str
    headers: Mapping[str, str]
    content: Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class HttpReply:
    """The response from `url`: HTTP status and body."""

    url: str
    status: int
    data: bytes


class Transport(Protocol):
    """Send a request and return its response; raise `Unreachable`."""

    def __call__(self, request: OutgoingRequest, /) -> HttpReply: ...


class HttpTransport:
    """HTTP or HTTPS; sends each request once. Use it in a `with` block.

    `tls` has the trusted CAs and the device's certificate; None trusts the CAs of this machine.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        # A device connects to its server, never to a proxy.
        self._http = httpx2.Client(timeout=_TIMEOUT, trust_env=False, verify=True if tls is None else tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __call__(self, request: OutgoingRequest, /) -> HttpReply:
        """Send the request; follow no redirect."""
        try:
            response = self._http.post(request.url, content=iter(request.content()), headers=dict(request.headers))
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise Unreachable(f"{request.url}: {error or type(error).__name__}") from error
        return HttpReply(request.url, response.status_code, response.content)


def envelope(to: str, action: str, body: str, *, names: Mapping[str, str], header: str = "") -> SoapMessage:
    """Return a request; *body* and *header* are XML with the prefixes of *names*, soap and wsa."""
    message_id = f"urn:uuid:{uuid.uuid4()}"
    declared = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in {"soap": SOAP, "wsa": WSA, **names}.items())
    text = (
        f"<soap:Envelope{declared}><soap:Header><wsa:To>{escape(to)}</wsa:To><wsa:Action>{action}</wsa:Action>"
        f"<wsa:MessageID>{message_id}</wsa:MessageID>"
        f"<wsa:ReplyTo><wsa:Address>{ANONYMOUS}</wsa:Address></wsa:ReplyTo>{header}</soap:Header>"
        f"<soap:Body>{body}</soap:Body></soap:Envelope>"
    )
    return SoapMessage(message_id, action, text.encode())


def request_for(url: str, message: SoapMessage) -> OutgoingRequest:
    """Return the request for a message that has no attachment."""
    headers = {"Content-Type": SOAP_TYPE, "Content-Length": str(len(message.data))}
    return OutgoingRequest(url, message.action, headers, lambda: (message.data,))


def call(transport: Transport, url: str, message: SoapMessage) -> etree._Element:
    """Send a message and return the soap:Body of the response; raise `SoapFault` or another `DeviceError`."""
    return body_of(transport(request_for(url, message)), message.id)


def body_of(reply: HttpReply, relates_to: str) -> etree._Element:
    """Return the soap:Body of a response; raise `SoapFault` for a fault, `BadAnswer` for anything else.

    Over HTTP a response may omit RelatesTo; if it is there, it has to be *relates_to*.
    """
    received = f"{reply.url}: HTTP {reply.status}"
    try:
        root = parse(reply.data)
    except BadAnswer:
        raise BadAnswer(f"{received} without a SOAP message") from None
    body = root.find(f"{{{SOAP}}}Body")
    if body is None:
        raise BadAnswer(f"{received} without a SOAP body")
    fault = body.find(f"{{{SOAP}}}Fault")
    if fault is not None:
        raise _fault(fault, reply.status)
    related = header(root, "RelatesTo")
    if related not in ("", relates_to):
        raise BadAnswer(f"{received} relates to {related}; expected {relates_to}")
    return body


def only_child(body: etree._Element, name: str) -> etree._Element:
    """Return the first element in *body*; raise `BadAnswer` with the expected *name* if there is none."""
    child = body.find("*")
    if child is None:
        raise BadAnswer(f"the response has an empty soap:Body; expected {name}")
    return child


def parse(data: bytes) -> etree._Element:
    """Return the root of an untrusted message; raise `BadAnswer` if it is not XML or has a DTD."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise BadAnswer("is not well-formed XML") from None
    if root.getroottree().docinfo.doctype:
        raise BadAnswer("has a DTD")
    return root


def qnames(element: etree._Element) -> tuple[str, ...]:
    """Return the qualified names in an element as Clark names; one with an undeclared prefix stays as it is."""
    return tuple(_clark(element, name) for name in (element.text or "").split())


def header(root: etree._Element, name: str) -> str:
    """Return the trimmed text of a WS-Addressing header; "" if it is absent."""
    return root.findtext(f"{{{SOAP}}}Header/{{{WSA}}}{name}", "").strip()


def _clark(element: etree._Element, name: str) -> str:
    prefix, _, local = name.rpartition(":")
    uri = element.nsmap.get(prefix or None)
    return f"{{{uri}}}{local}" if uri else name


def _fault(fault: etree._Element, status: int) -> SoapFault:
    def text(path: str) -> str:
        return fault.findtext(path, "", {"soap": SOAP}).strip()

    detail = fault.find(f"{{{SOAP}}}Detail/*")
    shown = "" if detail is None else f"{etree.QName(detail).localname} {(detail.text or '').strip()!r}"
    return SoapFault(
        text("soap:Code/soap:Value"),
        text("soap:Code/soap:Subcode/soap:Value"),
        text("soap:Reason/soap:Text"),
        shown,
        status,
    )
