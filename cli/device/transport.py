"""One exchange of a simulated device with a server: an envelope goes out, and an answer or a fault comes back.

It shares no code with the server. Who carries the bytes can be replaced, which is how a device misbehaves.

    DeviceError
    ├── Unreachable     no connection, or it broke before the answer
    ├── BadAnswer       what came back is not SOAP, or answers something else
    └── SoapFault       the server refused, and said why

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
    """The device could not do what it wanted."""


class Unreachable(DeviceError):
    """There was no connection to the server, or it broke before the answer."""


class BadAnswer(DeviceError):
    """What came back is not an answer of a scan server."""


class SoapFault(DeviceError):
    """The server refused the request: `code` and `subcode` as `prefix:name`, `status` of HTTP."""

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
    """An envelope as bytes, what it asks for, and the name by which its answer relates to it."""

    id: str
    action: str
    data: bytes


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """What goes out in one POST, for the message with this `action`; `content` gives the body anew each time."""

    url: str
    action: str
    headers: Mapping[str, str]
    content: Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back from `url`, whatever it is."""

    url: str
    status: int
    data: bytes


class Transport(Protocol):
    """Whoever carries a request and brings the answer; raises `Unreachable`."""

    def __call__(self, request: OutgoingRequest, /) -> HttpReply: ...


class HttpTransport:
    """The honest courier: HTTP or HTTPS, each request once. Use it in a `with` block.

    `tls` says which servers it trusts, and holds its certificate; None trusts those that this machine trusts.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        # A device asks its server, never a proxy.
        self._http = httpx2.Client(timeout=_TIMEOUT, trust_env=False, verify=True if tls is None else tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __call__(self, request: OutgoingRequest, /) -> HttpReply:
        """Carry the request; redirects are not followed."""
        try:
            answer = self._http.post(request.url, content=iter(request.content()), headers=dict(request.headers))
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise Unreachable(f"{request.url}: {error or type(error).__name__}") from error
        return HttpReply(request.url, answer.status_code, answer.content)


def envelope(to: str, action: str, body: str, *, names: Mapping[str, str], header: str = "") -> SoapMessage:
    """Return a request; *body* and *header* are XML in the prefixes of *names*, beside soap and wsa."""
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


def ask(courier: Transport, url: str, message: SoapMessage) -> etree._Element:
    """Send a message and return the soap:Body of its answer; raise `DeviceError`, above all `SoapFault`."""
    return body_of(courier(request_for(url, message)), message.id)


def body_of(answer: HttpReply, relates_to: str) -> etree._Element:
    """Return the soap:Body of an answer; raise `SoapFault` if it is a fault, `BadAnswer` if it is none of ours.

    Over HTTP an answer may leave out what it relates to; if it says so, it has to be *relates_to*.
    """
    said = f"{answer.url}: HTTP {answer.status}"
    try:
        root = parsed(answer.data)
    except BadAnswer:
        raise BadAnswer(f"{said} without a SOAP message") from None
    body = root.find(f"{{{SOAP}}}Body")
    if body is None:
        raise BadAnswer(f"{said} without a SOAP body")
    fault = body.find(f"{{{SOAP}}}Fault")
    if fault is not None:
        raise _fault(fault, answer.status)
    related = header(root, "RelatesTo")
    if related not in ("", relates_to):
        raise BadAnswer(f"{said} relates to {related}; expected {relates_to}")
    return body


def only_child(body: etree._Element, name: str) -> etree._Element:
    """Return the element in *body*; raise `BadAnswer` if it holds none. *name* is what it should be, for the error."""
    child = body.find("*")
    if child is None:
        raise BadAnswer(f"the answer has an empty soap:Body; expected {name}")
    return child


def parsed(data: bytes) -> etree._Element:
    """Return the root of a message from a stranger; raise `BadAnswer` if it is not XML, or brings a DTD."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise BadAnswer("is not well-formed XML") from None
    if root.getroottree().docinfo.doctype:
        raise BadAnswer("brings a DTD")
    return root


def qnames(element: etree._Element) -> tuple[str, ...]:
    """Return the qualified names in an element as Clark names; one whose prefix means nothing stays as it is."""
    return tuple(_clark(element, name) for name in (element.text or "").split())


def header(root: etree._Element, name: str) -> str:
    """Return the text of a header of WS-Addressing, trimmed; "" if it is not there."""
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
