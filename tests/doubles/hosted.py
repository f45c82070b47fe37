"""A scan server of a few lines as a device sees it: found, described, subscribed to, scanned to, and telling events.

Its messages are written by hand after dpws.md section 11 and ws-dsp.md section 13, without a line of `soap/`.
A test replaces what it says, operation by operation.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSD = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
WSDP = "http://schemas.xmlsoap.org/ws/2006/02/devprof"
WSX = "http://schemas.xmlsoap.org/ws/2004/09/mex"
WSE = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
DSP = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
NAMESPACES = {"soap": SOAP, "wsa": WSA, "wsd": WSD, "wsdp": WSDP, "wsx": WSX, "wse": WSE, "dsp": DSP}

ENDPOINT = "urn:uuid:a5f3a0c8-51f7-4c4b-b1e5-0d9c8b7a6f03"
TOKEN = "5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935"
OTHER_TOKEN = "0b51c1a4-1d0d-4f7e-8c56-2d9f3a4b5c6d"
MANAGED = "urn:uuid:64b5a6f7-8091-4a2b-bc3d-4e5f60718208"

Answer = tuple[int, str] | str
"""The content of soap:Body, with a status of HTTP if that is not 200."""


@dataclass(frozen=True)
class Asked:
    """A message that came: the last word of its Action, how it came (udp, or the path), and its bytes."""

    operation: str
    way: str
    data: bytes

    @property
    def message_id(self) -> str:
        """Its MessageID."""
        return found("MessageID", self.data)


@dataclass
class Hosted:
    """What the server was asked, and what it says to each operation. It is silent by UDP if `deaf`."""

    port: int = 0
    deaf: bool = False
    asked: list[Asked] = field(default_factory=list)
    says: dict[str, Callable[[Asked], Answer]] = field(default_factory=dict)
    datagrams: Callable[[Asked], list[bytes]] | None = None
    sink: str = ""
    end_to: str = ""
    identifier: str = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where its WS-DSP is."""
        return f"{self.origin}/service"

    def operations(self, *, without: tuple[str, ...] = ()) -> list[str]:
        """Return what it was asked, in order."""
        return [one.operation for one in self.asked if one.operation not in without]

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        """Return what to answer."""
        said = self.says[asked.operation](asked)
        status, content = said if isinstance(said, tuple) else (200, said)
        return status, envelope(f"urn:x/{asked.operation}Response", content, asked.message_id) if status != 202 else b""

    # what it says unless a test says otherwise

    def match(self, asked: Asked, addresses: str | None = None) -> str:
        """Return a ProbeMatches, or a ResolveMatches; *addresses* instead of its own."""
        kind, told = asked.operation, f"{self.origin}/device" if addresses is None else addresses
        return (
            f"<wsd:{kind}Matches><wsd:{kind}Match>"
            f"<wsa:EndpointReference><wsa:Address>{ENDPOINT}</wsa:Address></wsa:EndpointReference>"
            f"<wsd:Types>wsdp:Device dsp:RepositoryDeviceType</wsd:Types>"
            f"{f'<wsd:XAddrs>{told}</wsd:XAddrs>' if told else ''}<wsd:MetadataVersion>3</wsd:MetadataVersion>"
            f"</wsd:{kind}Match></wsd:{kind}Matches>"
        )

    def metadata(self, _asked: Asked, types: str = "dsp:RepositoryProcessingServiceType") -> str:
        """Return the answer to a Get."""
        address = f"<wsa:EndpointReference><wsa:Address>{self.url}</wsa:Address></wsa:EndpointReference>"
        sections = {
            "ThisModel": "<wsdp:Manufacturer>Example Project</wsdp:Manufacturer><wsdp:ModelName>DSM</wsdp:ModelName>",
            "ThisDevice": "<wsdp:FriendlyName xml:lang='en'>Scan server scan01</wsdp:FriendlyName>",
            "Relationship": f"<wsdp:Hosted>{address}<wsdp:Types>{types}</wsdp:Types>"
            "<wsdp:ServiceId>http://scan01/p</wsdp:ServiceId></wsdp:Hosted>",
        }
        inside = "".join(
            f"<wsx:MetadataSection Dialect='{WSDP}/{name}'><wsdp:{name}>{xml}</wsdp:{name}></wsx:MetadataSection>"
            for name, xml in sections.items()
        )
        return f"<wsx:Metadata>{inside}</wsx:Metadata>"

    def subscribe(self, asked: Asked, granted: str = "PT1H") -> str:
        """Remember the sink; return the SubscribeResponse."""
        notify, end = (re.search(rb"<wse:%s>(.*?)</wse:%s>" % (n, n), asked.data)[1] for n in (b"NotifyTo", b"EndTo"))
        self.sink, self.end_to = found("Address", notify), found("Address", end)
        self.identifier = found("Identifier", notify)
        parameters = f"<wse:Identifier>{MANAGED}</wse:Identifier><k:Key xmlns:k='urn:k' k:n='1'>a&amp;b</k:Key>"
        return (
            f"<wse:SubscribeResponse><wse:SubscriptionManager><wsa:Address>{self.origin}/manager</wsa:Address>"
            f"<wsa:ReferenceParameters>{parameters}</wsa:ReferenceParameters></wse:SubscriptionManager>"
            f"<wse:Expires>{granted}</wse:Expires></wse:SubscribeResponse>"
        )

    def tell(self, content: str, **variations: str) -> int:
        """Tell the subscriber an event, or the end of its subscription; return the status of HTTP."""
        return post(variations.pop("to", self.sink), letter(content, self.identifier, **variations))

    def telling(self, *events: str, at: str = "EndPostScanJob") -> None:
        """Tell these events from now on when this operation has been answered."""
        answer = self.says[at]

        def tell() -> None:
            for event in events:
                assert self.tell(event, to=self.end_to if "SubscriptionEnd>" in event else self.sink) == 202

        def answered(asked: Asked) -> Answer:
            if self.sink:
                threading.Thread(target=tell).start()
            return answer(asked)

        self.says[at] = answered

    def polled(self, *states: str) -> None:
        """Answer polls with one state after the other from now on, the last one again and again."""
        left = list(states)
        self.says["GetPostScanJobElements"] = lambda _: (
            f"<dsp:R>{job_status(left.pop(0) if len(left) > 1 else left[0])}</dsp:R>"
        )


def obedient(host: Hosted) -> None:
    """Let a server say what the digests say."""
    host.says = {
        "Probe": host.match,
        "Resolve": host.match,
        "Get": host.metadata,
        "Subscribe": host.subscribe,
        "Renew": lambda _: "<wse:RenewResponse><wse:Expires>PT1H</wse:Expires></wse:RenewResponse>",
        "GetStatus": lambda _: "<wse:GetStatusResponse><wse:Expires>PT1M</wse:Expires></wse:GetStatusResponse>",
        "Unsubscribe": lambda _: "",
        "CreatePostScanJob": lambda _: (
            f"<dsp:CreatePostScanJobResponse><dsp:JobToken>{TOKEN}</dsp:JobToken></dsp:CreatePostScanJobResponse>"
        ),
        **{name: _done(name) for name in ("SendImage", "EndPostScanJob", "CancelPostScanJob")},
        "GetPostScanJobElements": lambda _: f"<dsp:R>{job_status('Processing')}</dsp:R>",
    }


def _done(name: str) -> Callable[[Asked], str]:
    return lambda _: f"<dsp:{name}Response/>"


# --- messages ----------------------------------------------------------------------------------------------------


def envelope(action: str, content: str, relates_to: str = "", header: str = "", message_id: str = "") -> bytes:
    """Return a message of the server."""
    names = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    related = f"<wsa:RelatesTo>{relates_to}</wsa:RelatesTo>" if relates_to else ""
    return (
        f"<soap:Envelope{names}><soap:Header><wsa:To>{WSA}/role/anonymous</wsa:To><wsa:Action>{action}</wsa:Action>"
        f"<wsa:MessageID>{message_id or f'urn:uuid:{uuid.uuid4()}'}</wsa:MessageID>{related}{header}</soap:Header>"
        f"<soap:Body>{content}</soap:Body></soap:Envelope>"
    ).encode()


def letter(content: str, identifier: str, *, message_id: str = "", action: str = "") -> bytes:
    """Return a message to a subscriber; its Action is read off its *content*."""
    prefix, name = re.match(r"<(\w+):(\w+)", content).groups()
    header = f"<wse:Identifier>{identifier}</wse:Identifier>" if identifier else ""
    return envelope(action or f"{NAMESPACES[prefix]}/{name}", content, header=header, message_id=message_id)


def job_status(state: str, filter_state: str = "Processing", token: str = TOKEN) -> str:
    """Return a JobStatus."""
    return (
        f"<dsp:JobStatus><dsp:JobToken>{token}</dsp:JobToken><dsp:JobState>{state}</dsp:JobState>"
        f"{_filters('FilterStatuses', filter_state)}<dsp:ImagesReceived>1</dsp:ImagesReceived>"
        "<dsp:JobCreatedTime>2026-03-02T09:41:07.125Z</dsp:JobCreatedTime></dsp:JobStatus>"
    )


def status_event(state: str, filter_state: str = "Processing", token: str = TOKEN) -> str:
    """Return a PostScanJobStatusEvent (13.7)."""
    return f"<dsp:PostScanJobStatusEvent>{job_status(state, filter_state, token)}</dsp:PostScanJobStatusEvent>"


def end_event(state: str = "Completed", reason: str = "PostScanJobCompletedSuccessfully", token: str = TOKEN) -> str:
    """Return a PostScanJobEndStateEvent (13.8)."""
    return (
        f"<dsp:PostScanJobEndStateEvent><dsp:PostScanJobEndState><dsp:JobToken>{token}</dsp:JobToken>"
        "<dsp:PSP_Identifier>7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7</dsp:PSP_Identifier>"
        "<dsp:PSP_DisplayName>Archive</dsp:PSP_DisplayName>"
        "<dsp:JobOriginatingUserName>ann@fabrikam.example</dsp:JobOriginatingUserName>"
        f"<dsp:JobCompletedState>{state}</dsp:JobCompletedState><dsp:JobCompletedStateReasons>"
        f"<dsp:JobStateReason>{reason}</dsp:JobStateReason></dsp:JobCompletedStateReasons>"
        f"{_filters('FilterCompletedStatuses', 'CompletedSuccessfully')}<dsp:ImagesReceived>1</dsp:ImagesReceived>"
        "<dsp:JobCompletedTime>2026-03-02T09:42:18.903Z</dsp:JobCompletedTime>"
        "</dsp:PostScanJobEndState></dsp:PostScanJobEndStateEvent>"
    )


def subscription_end(status: str = "SourceShuttingDown") -> str:
    """Return a SubscriptionEnd (11.6)."""
    manager = "<wse:SubscriptionManager><wsa:Address>http://x/manager</wsa:Address></wse:SubscriptionManager>"
    reason = '<wse:Reason xml:lang="en">The scan server is being stopped.</wse:Reason>'
    return f"<wse:SubscriptionEnd>{manager}<wse:Status>{WSE}/{status}</wse:Status>{reason}</wse:SubscriptionEnd>"


def fault(subcode: str, status: int = 400, code: str = "soap:Sender") -> tuple[int, str]:
    """Return a fault."""
    return status, (
        f"<soap:Fault><soap:Code><soap:Value>{code}</soap:Value><soap:Subcode><soap:Value>{subcode}</soap:Value>"
        "</soap:Subcode></soap:Code><soap:Reason><soap:Text xml:lang='en'>Because.</soap:Text></soap:Reason>"
        "</soap:Fault>"
    )


def _filters(name: str, state: str) -> str:
    one = f"<dsp:Dialect>urn:example:stamp</dsp:Dialect><dsp:FilterState>{state}</dsp:FilterState>"
    return f"<dsp:{name}><dsp:FilterStatus>{one}</dsp:FilterStatus></dsp:{name}>"


def found(name: str, data: bytes) -> str:
    """Return the text of the first element with this local name."""
    return re.search(rb"<\w+:%s>\s*([^<]*?)\s*</" % name.encode(), data)[1].decode()


def post(url: str, data: bytes, *, chunked: bool = False, timeout: float = 60.0) -> int:
    """Post a message; return the status of HTTP."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    try:
        body = iter([data[:7], data[7:]]) if chunked else data
        connection.request("POST", parts.path, body, {"Content-Type": "application/soap+xml"}, encode_chunked=chunked)
        return connection.getresponse().status
    finally:
        connection.close()


# --- the server --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def hosting() -> Iterator[Hosted]:
    """Lend a server at 127.0.0.1, at the same port by UDP and HTTP; it is obedient."""
    host = Hosted()
    obedient(host)
    handler = _handler(host)
    with _both() as (http_server_socket, udp):
        host.port = udp.getsockname()[1]
        http_server = ThreadingHTTPServer(udp.getsockname(), handler, bind_and_activate=False)
        http_server.socket.close()
        http_server.socket = http_server_socket
        http_server.daemon_threads = True
        threads = [
            threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.02}),
            threading.Thread(target=_hear, args=(host, udp)),
        ]
        for thread in threads:
            thread.start()
        try:
            yield host
        finally:
            http_server.shutdown()
            udp.sendto(b"", udp.getsockname())
            for thread in threads:
                thread.join()


@contextlib.contextmanager
def _both() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Lend a listening socket and a UDP socket at one free port."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        try:
            listener = socket.create_server(udp.getsockname())
        except OSError:
            udp.close()
            continue
        with udp, listener:
            yield listener, udp
        return


def _asked(data: bytes, way: str) -> Asked:
    return Asked(found("Action", data).rpartition("/")[2], way, data)


def _hear(host: Hosted, udp: socket.socket) -> None:
    """Answer questions by UDP until an empty datagram comes."""
    while True:
        data, source = udp.recvfrom(65536)
        if not data:
            return
        asked = _asked(data, "udp")
        host.asked.append(asked)
        answers = host.datagrams(asked) if host.datagrams else [host.answer(asked)[1]]
        for answer in [] if host.deaf else answers:
            udp.sendto(answer, source)


def _handler(host: Hosted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = _asked(self.rfile.read(int(self.headers["Content-Length"])), self.path)
            host.asked.append(asked)
            status, data = host.answer(asked)
            self.send_response(status)
            self.send_header("Content-Type", "application/soap+xml")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
