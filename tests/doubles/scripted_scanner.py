"""A WSD scanner that does what a test says, at the end of real sockets: replies by operation, and a log of requests.

    with ScriptedScanner(pages=[JPEG]) as scanner:
        scanner.replies["CreateScanJob"] = [fault("ClientErrorFormatNotSupported"), created()]

A reply is bytes, a function of the request that returns bytes or yields pieces, or a list that is used up one by one,
whose last one stays. It shares nothing with the simulated scanner of the command line.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from lxml import etree

SCAN = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"
XOP = "http://www.w3.org/2004/08/xop/include"
NAMES = {"w": SCAN, "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing"}


@dataclass(frozen=True)
class ScannerRequest:
    """A request: when it came (monotonic), its operation, its MessageID and its XML."""

    at: float
    operation: str
    message_id: str
    root: etree._Element

    def text(self, *names: str) -> str | None:
        """Return the text of the first element at the end of a path of local names; None if there is none."""
        path = "//" + "/".join(f"w:{name}" for name in names)
        found = self.root.xpath(path, namespaces=NAMES)
        return (found[0].text or "") if found else None

    def names(self, parent: str) -> list[str]:
        """Return the local names of the children of an element, in their order."""
        return [etree.QName(one).localname for one in self.root.xpath(f"//w:{parent}/*", namespaces=NAMES)]


Reply = bytes | Callable[[ScannerRequest], "bytes | Iterator[bytes]"] | list["Reply"]


class ScriptedScanner:
    """See above. `pages` are the images that RetrieveImage hands out, one by one; then there are no more."""

    def __init__(self, pages: Sequence[bytes] = (), **replies: Reply) -> None:
        self.pages = list(pages)
        self.requests: list[ScannerRequest] = []
        self.replies: dict[str, Reply] = {
            "GetScannerElements": elements(),
            "CreateScanJob": created(),
            "RetrieveImage": self._next_page,
            "CancelJob": answer("<w:CancelJobResponse/>"),
            "GetJobElements": job_status("Processing"),
            **replies,
        }
        self.stopped = threading.Event()
        self._taken = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.vanish()
        self._thread.join()

    def vanish(self) -> None:
        """Lose the power: all connections break, and none is accepted."""
        self.stopped.set()
        for one in (self._server, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    @property
    def service(self) -> str:
        """The URL of the scan service."""
        return f"http://127.0.0.1:{self._server.getsockname()[1]}/wsd/scan"

    @property
    def operations(self) -> list[str]:
        """The operations that were asked for, in their order."""
        return [request.operation for request in self.requests]

    def asked(self, operation: str) -> list[ScannerRequest]:
        """Return the requests of an operation."""
        return [request for request in self.requests if request.operation == operation]

    def _next_page(self, request: ScannerRequest) -> bytes:
        if self._taken >= len(self.pages):
            return fault("ClientErrorNoImagesAvailable")
        self._taken += 1
        return image(self.pages[self._taken - 1], request)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                data = _received(connection)
                if not data:
                    return
                reply = self._reply(_read(data))
                for piece in (reply,) if isinstance(reply, bytes) else reply:
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the client has left

    def _reply(self, request: ScannerRequest) -> bytes | Iterator[bytes]:
        self.requests.append(request)
        reply = self.replies.get(request.operation, fault("OperationFailed"))
        while not isinstance(reply, bytes):
            if isinstance(reply, list):
                reply = reply.pop(0) if len(reply) > 1 else reply[0]
            else:
                return reply(request)
        return reply


# --- replies -----------------------------------------------------------------------------------------------------


def http(body: bytes, status: int = 200, kind: str = "application/soap+xml; charset=utf-8") -> bytes:
    """Return an HTTP response."""
    head = f"HTTP/1.1 {status} Status\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def envelope(body: str, relates_to: str = "") -> bytes:
    """Return an envelope around XML with the prefix `w` of the scan namespace."""
    related = f"<a:RelatesTo>{relates_to}</a:RelatesTo>" if relates_to else ""
    return (
        f'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="{NAMES["a"]}" xmlns:w="{SCAN}">'
        f"<s:Header>{related}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def answer(body: str, status: int = 200) -> bytes:
    """Return a response with this body."""
    return http(envelope(body), status)


def fault(subcode: str, text: str = "No.", status: int = 400) -> bytes:
    """Return a fault."""
    return answer(
        f"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>w:{subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en">{text}</s:Text></s:Reason></s:Fault>',
        status,
    )


def elements(configuration: str = "", ticket: str = "", status: str = "") -> bytes:
    """Return a GetScannerElementsResponse with what is given, XML inside of each element."""
    inside = "".join(
        f'<w:ElementData Name="w:{name}" Valid="true"><w:{name}>{content}</w:{name}></w:ElementData>'
        for name, content in (
            ("ScannerConfiguration", configuration),
            ("DefaultScanTicket", ticket),
            ("ScannerStatus", status),
        )
        if content
    )
    return answer(f"<w:GetScannerElementsResponse><w:ScannerElements>{inside}</w:ScannerElements>"
                  "</w:GetScannerElementsResponse>")  # fmt: skip


def created(job_id: int = 7, parameters: str = "") -> bytes:
    """Return a CreateScanJobResponse, with the inside of DocumentFinalParameters."""
    return answer(
        f"<w:CreateScanJobResponse><w:JobId>{job_id}</w:JobId><w:JobToken>token-{job_id}</w:JobToken>"
        f"<w:DocumentFinalParameters>{parameters}</w:DocumentFinalParameters></w:CreateScanJobResponse>"
    )


def job_status(state: str, *reasons: str) -> bytes:
    """Return a GetJobElementsResponse."""
    inside = "".join(f"<w:JobStateReason>{reason}</w:JobStateReason>" for reason in reasons)
    return answer(
        '<w:GetJobElementsResponse><w:JobElements><w:ElementData Name="w:JobStatus" Valid="true"><w:JobStatus>'
        f"<w:JobId>7</w:JobId><w:JobState>{state}</w:JobState><w:JobStateReasons>{inside}</w:JobStateReasons>"
        "</w:JobStatus></w:ElementData></w:JobElements></w:GetJobElementsResponse>"
    )


def retrieved(content_id: str = "page@scanner", *, relates_to: str = "", xop: str = XOP) -> bytes:
    """Return the envelope of an image."""
    include = f'<x:Include xmlns:x="{xop}" href="cid:{content_id}"/>'
    return envelope(
        f"<w:RetrieveImageResponse><w:ScanData>{include}</w:ScanData></w:RetrieveImageResponse>", relates_to
    )


def multipart(root: bytes, data: bytes, *, boundary: str = "b0undary", content_id: str = "page@scanner") -> bytes:
    """Return the two parts and the delimiters of an MTOM message, the root first."""
    line = f"--{boundary}".encode()
    return (
        line + b'\r\nContent-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"\r\n'
        b"Content-Transfer-Encoding: binary\r\nContent-ID: <root@scanner>\r\n\r\n" + root + b"\r\n" + line
        + b"\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <"
        + content_id.encode() + b">\r\n\r\n" + data + b"\r\n" + line + b"--\r\n"
    )  # fmt: skip


def multipart_type(boundary: str = '"b0undary"', start: str = "<root@scanner>") -> str:
    """Return the Content-Type of such a message."""
    return (
        f'multipart/related; type="application/xop+xml"; boundary={boundary}; start="{start}"; '
        'start-info="application/soap+xml"'
    )


def image(data: bytes, request: ScannerRequest | None = None) -> bytes:
    """Return the response with an image, as MTOM."""
    root = retrieved(relates_to=request.message_id if request is not None else "")
    return http(multipart(root, data), kind=multipart_type())


# --- reading -----------------------------------------------------------------------------------------------------


def _received(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    while length and len(body) < int(length[1]):
        piece = connection.recv(65536)
        if not piece:
            return b""
        body += piece
    return body


def _read(body: bytes) -> ScannerRequest:
    root = etree.fromstring(body)
    action = root.findtext(".//a:Action", namespaces=NAMES) or ""
    message_id = root.findtext(".//a:MessageID", namespaces=NAMES) or ""
    return ScannerRequest(time.monotonic(), action.rpartition("/")[2], message_id, root)
