"""A computer that scans from a WSD scanner: raw requests, an address for events, and MTOM taken apart by `email`.

It shares no code with the scanner nor with the source.
"""

from __future__ import annotations

import email.parser
import email.policy
import http.client
import queue
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from lxml import etree

WSCN = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"
WSE = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
SOAP = "http://www.w3.org/2003/05/soap-envelope"
NAMES = {
    "s": SOAP,
    "a": WSA,
    "e": WSE,
    "w": WSCN,
    "d": "http://schemas.xmlsoap.org/ws/2005/04/discovery",
    "p": "http://schemas.xmlsoap.org/ws/2006/02/devprof",
    "x": "http://schemas.xmlsoap.org/ws/2004/09/mex",
}
SECONDS = 10.0
ENVELOPE = (
    '<s:Envelope xmlns:s="{s}" xmlns:a="{a}" xmlns:e="{e}" xmlns:w="{w}" xmlns:d="{d}" xmlns:p="{p}">'
    "<s:Header><a:To>{to}</a:To><a:Action>{action}</a:Action><a:MessageID>{id}</a:MessageID>{headers}</s:Header>"
    "<s:Body>{body}</s:Body></s:Envelope>"
)


class WsdReply(NamedTuple):
    """Status, Content-Type and body of a response, and the id of the request."""

    status: int
    type: str
    data: bytes
    related: str

    @property
    def root(self) -> etree._Element:
        """The envelope."""
        return etree.fromstring(self.data)

    @property
    def fault(self) -> str:
        """The subcode of a fault without its prefix; "" for another response."""
        if not self.data or self.type.startswith("multipart/"):
            return ""
        return self.text("s:Body/s:Fault/s:Code/s:Subcode/s:Value").rpartition(":")[2]

    def text(self, path: str) -> str:
        """Return the text at a path of the envelope; "" without it."""
        return (self.root.findtext(path, "", NAMES) or "").strip()


@dataclass
class WsdGrant:
    """A subscription as it was granted."""

    manager: str
    identifier: str
    expires: str
    tokens: dict[str, str] = field(default_factory=dict)


class HeardEvent(NamedTuple):
    """An event: its path, and its envelope."""

    path: str
    root: etree._Element

    @property
    def name(self) -> str:
        """The last segment of its action."""
        return str(self.root.findtext("s:Header/a:Action", "", NAMES)).rpartition("/")[2]

    def text(self, path: str) -> str:
        """Return a text of its body."""
        return (self.root.findtext(f"s:Body/{path}", "", NAMES) or "").strip()


class WsdComputer:
    """Requests to one scanner, and the events that come from it; `status` is how events are responded to."""

    def __init__(self, scan_service: str, sink: str) -> None:
        self.service = scan_service
        self.sink = sink
        self.events: queue.Queue[HeardEvent] = queue.Queue()
        self.status = 202
        self.replies: list[WsdReply] = []
        self.on_event: Callable[[], object] = lambda: None

    def call(self, action: str, body: str, *, url: str = "", to: str = "", headers: str = "") -> WsdReply:
        """Send one request on a connection of its own."""
        url = url or self.service
        id = f"urn:uuid:{uuid.uuid4()}"
        data = ENVELOPE.format(**NAMES, to=to or url, action=action, id=id, headers=headers, body=body).encode()
        return self.send(url, data, id)

    def send(self, url: str, data: bytes, id: str = "") -> WsdReply:
        """Send bytes."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=SECONDS)
        try:
            connection.request("POST", parts.path, data, {"Content-Type": "application/soap+xml"})
            response = connection.getresponse()
            self.replies.append(
                WsdReply(response.status, response.headers.get("Content-Type", ""), response.read(), id)
            )
            return self.replies[-1]
        finally:
            connection.close()

    def scan(self, operation: str, body: str = "") -> WsdReply:
        """Call one of the eight operations."""
        return self.call(f"{WSCN}/{operation}", f"<w:{operation}Request>{body}</w:{operation}Request>")

    def elements(self, *names: str) -> WsdReply:
        """Ask for elements of the scanner."""
        asked = "".join(f"<w:Name>w:{name}</w:Name>" for name in names)
        return self.scan("GetScannerElements", f"<w:RequestedElements>{asked}</w:RequestedElements>")

    def subscribe(
        self, labels: dict[str, str], expires: str = "PT1H", events: tuple[str, ...] = ("ScanAvailableEvent",)
    ) -> WsdGrant:
        """Subscribe with destinations, label by context."""
        reply = self.ask_subscribe(labels, expires, events)
        assert reply.status == 200, reply.data
        path = "s:Body/e:SubscribeResponse"
        granted = reply.root.find(path, NAMES)
        assert granted is not None
        return WsdGrant(
            reply.text(f"{path}/e:SubscriptionManager/a:Address"),
            reply.text(f"{path}/e:SubscriptionManager/a:ReferenceParameters/e:Identifier"),
            reply.text(f"{path}/e:Expires"),
            {
                one.findtext("w:ClientContext", "", NAMES): one.findtext("w:DestinationToken", "", NAMES)
                for one in granted.iterfind("w:DestinationResponses/w:DestinationResponse", NAMES)
            },
        )

    def ask_subscribe(self, labels: dict[str, str], expires: str, events: tuple[str, ...]) -> WsdReply:
        """Send Subscribe."""
        destinations = "".join(
            f"<w:ScanDestination><w:ClientDisplayName>{escape(label)}</w:ClientDisplayName>"
            f"<w:ClientContext>{context}</w:ClientContext></w:ScanDestination>"
            for context, label in labels.items()
        )
        wanted = " ".join(f"{WSCN}/{name}" for name in events)
        return self.call(
            f"{WSE}/Subscribe",
            f"<e:Subscribe><e:EndTo><a:Address>{self.sink}/end</a:Address></e:EndTo>"
            f'<e:Delivery Mode="{WSE}/DeliveryModes/Push"><e:NotifyTo><a:Address>{self.sink}/events</a:Address>'
            "<a:ReferenceParameters><e:Identifier>mine</e:Identifier></a:ReferenceParameters></e:NotifyTo></e:Delivery>"
            f"<e:Expires>{expires}</e:Expires>"
            f'<e:Filter Dialect="http://schemas.xmlsoap.org/ws/2006/02/devprof/Action">{wanted}</e:Filter>'
            + (f"<w:ScanDestinations>{destinations}</w:ScanDestinations>" if labels else "")
            + "</e:Subscribe>",
        )

    def manage(self, grant: WsdGrant, name: str, body: str = "") -> WsdReply:
        """Send Renew, GetStatus or Unsubscribe."""
        identifier = f"<e:Identifier>{grant.identifier}</e:Identifier>"
        return self.call(f"{WSE}/{name}", f"<e:{name}>{body}</e:{name}>", url=grant.manager, headers=identifier)

    def create(
        self, ticket: str = "", *, source: str = "ADF", press: HeardEvent | None = None, token: str = ""
    ) -> WsdReply:
        """Create a job, for a press or without one."""
        who = ""
        if press is not None:
            identifier = press.text("w:ScanAvailableEvent/w:ScanIdentifier")
            who = f"<w:ScanIdentifier>{identifier}</w:ScanIdentifier><w:DestinationToken>{token}</w:DestinationToken>"
        return self.scan("CreateScanJob", who + (ticket or self.ticket(source)))

    def ticket(self, source: str, images: int = 0, format: str = "", more: str = "") -> str:
        """Return a ticket."""
        wanted = f"<w:Format>{format}</w:Format>" if format else ""
        return (
            "<w:ScanTicket><w:JobDescription><w:JobName>Test</w:JobName><w:JobOriginatingUserName>ann"
            "</w:JobOriginatingUserName><w:JobInformation>postscan</w:JobInformation></w:JobDescription>"
            f"<w:DocumentParameters>{wanted}<w:ImagesToTransfer>{images}</w:ImagesToTransfer>"
            f"<w:InputSource>{source}</w:InputSource>{more}</w:DocumentParameters></w:ScanTicket>"
        )

    def retrieve(self, created: WsdReply) -> WsdReply:
        """Ask for the next page of a job."""
        job, token = self.job(created)
        return self.scan(
            "RetrieveImage",
            f"<w:JobId>{job}</w:JobId><w:JobToken>{token}</w:JobToken>"
            "<w:DocumentDescription><w:DocumentName>page</w:DocumentName></w:DocumentDescription>",
        )

    def job(self, created: WsdReply) -> tuple[str, str]:
        """Return id and token of a new job."""
        path = "s:Body/w:CreateScanJobResponse"
        return created.text(f"{path}/w:JobId"), created.text(f"{path}/w:JobToken")

    def cancel(self, created: WsdReply) -> WsdReply:
        """Cancel a job."""
        return self.scan("CancelJob", f"<w:JobId>{self.job(created)[0]}</w:JobId>")

    def next_event(self, name: str = "ScanAvailableEvent") -> HeardEvent:
        """Return the next event of this name; others are dropped."""
        while True:
            heard = self.events.get(timeout=SECONDS)
            if heard.name == name:
                return heard


def image_of(reply: WsdReply) -> bytes:
    """Return the image of a multipart response; the standard library takes it apart."""
    assert reply.type.startswith("multipart/related"), reply
    head = f"MIME-Version: 1.0\r\nContent-Type: {reply.type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + reply.data)
    assert not message.defects, message.defects
    root, image = message.iter_parts()
    envelope = etree.fromstring(root.get_payload(decode=True))
    include = envelope.find(".//{http://www.w3.org/2004/08/xop/include}Include")
    assert include is not None
    assert image["Content-ID"] == f"<{include.get('href', '').removeprefix('cid:')}>"
    payload = image.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


@contextmanager
def computer(service: str) -> Iterator[WsdComputer]:
    """A computer whose address for events is served until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            one.on_event()
            one.events.put(HeardEvent(self.path, etree.fromstring(data)))
            self.send_response_only(one.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    one = WsdComputer(service, f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield one
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
