"""A scanner for tests: the standard library, plain sockets, and what WS-DSP says on the wire.

It shares no code with the server nor with `postscan send`, so that an error in one is not repeated in the other.
Each request has a connection of its own.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import ssl
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape, quoteattr

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
DSP = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
PSP = "http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp"
XOP = "http://www.w3.org/2004/08/xop/include"
SOAP_TYPE = "application/soap+xml; charset=utf-8"

Fault = tuple[str, str, str, str]
"""Code, subcode, reason, and the text of the first element in Detail; "" for what is not there."""


@dataclass(frozen=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def find(self, name: str) -> str | None:
        """Return the text of the first element with this local name."""
        return next(iter(self.find_all(name)), None)

    def find_all(self, name: str) -> list[str]:
        """Return the texts of all elements with this local name."""
        return [(one.text or "").strip() for one in ET.fromstring(self.body).iter() if one.tag.endswith(f"}}{name}")]

    def fault(self) -> Fault | None:
        """Return the SOAP fault, or None if this is none."""
        fault = ET.fromstring(self.body).find(f"{{{SOAP}}}Body/{{{SOAP}}}Fault")
        if fault is None:
            return None
        ns = {"soap": SOAP}
        paths = ("soap:Code/soap:Value", "soap:Code/soap:Subcode/soap:Value", "soap:Reason/soap:Text", "soap:Detail/*")
        code, subcode, reason, detail = (fault.findtext(path, "", ns) for path in paths)
        return code, subcode, reason, detail


@dataclass
class Device:
    """One device at `source_address`, with `user` (a SID) signed in, in front of the service at `url`.

    With https, `tls` says whom it trusts, and holds its certificate.
    """

    url: str
    user: str = "S-1-5-21-1-2-3-1001"
    source_address: str | None = None
    timeout: float = 60.0
    tls: ssl.SSLContext | None = None

    def create(self, process_id: str, instructions_xml: str, **more: str) -> Answer:
        """Create a job; *instructions_xml* is the content of PostScanInstructions, with psp bound to its namespace."""
        content = _element("UserIdentifier", self.user) + _element("PSP_Identifier", process_id)
        content += f"<dsp:PostScanInstructions>{instructions_xml}</dsp:PostScanInstructions>"
        return self.post(self.envelope("CreatePostScanJob", content, **more))

    def end(self, token: str, **more: str) -> Answer:
        """Tell that there are no more images."""
        return self.post(self.envelope("EndPostScanJob", _element("JobToken", token), **more))

    def cancel(self, token: str, **more: str) -> Answer:
        """Cancel the job."""
        return self.post(self.envelope("CancelPostScanJob", _element("JobToken", token), **more))

    def elements(self, token: str, *names: str, **more: str) -> Answer:
        """Query the job; *names* as `dsp:JobStatus`, which is also asked for when there are none."""
        wanted = "".join(_element("Name", name) for name in names or ("dsp:JobStatus",))
        content = f"{_element('JobToken', token)}<dsp:RequestedElements>{wanted}</dsp:RequestedElements>"
        return self.post(self.envelope("GetPostScanJobElements", content, **more))

    def send_image(
        self,
        token: str,
        document_id: int | str,
        data: bytes | Iterable[bytes],
        format: str = "png",
        *,
        chunks: int | None = None,
        headers: Mapping[str, str] | None = None,
        **variations: Any,
    ) -> Answer:
        """Send one image: with its length if *data* is bytes, else chunked; *chunks* is the length to cut it into.

        *variations* are those of `package`.
        """
        kind, parts = self.package(token, document_id, data, format, **variations)
        if isinstance(data, bytes) and chunks is None:
            return self.post(b"".join(parts), kind, headers)
        return self.post(parts if chunks is None else _cut(b"".join(parts), chunks), kind, headers)

    def break_off(self, token: str, document_id: int, data: bytes, after: int, format: str = "png") -> None:
        """Announce a whole image, send only the first *after* bytes of the body, and hang up."""
        kind, parts = self.package(token, document_id, data, format)
        whole = b"".join(parts)
        connection = self._connect()
        connection.putrequest("POST", urlsplit(self.url).path)
        connection.putheader("Content-Type", kind)
        connection.putheader("Content-Length", str(len(whole)))
        connection.endheaders(whole[:after])
        connection.close()

    def package(
        self,
        token: str,
        document_id: int | str,
        data: bytes | Iterable[bytes],
        format: str = "png",
        *,
        boundary: str = "b41f7c0e2a",
        href: str = "cid:image@device",
        content_id: str = "<image@device>",
        without_image: bool = False,
        message_id: str = "",
    ) -> tuple[str, Iterator[bytes]]:
        """Return the Content-Type and the body of a SendImage, for whoever wants to spoil it."""
        description = _element("DocumentId", str(document_id)) + _element("Format", format)
        content = f"{_element('JobToken', token)}<dsp:DocumentDescription>{description}</dsp:DocumentDescription>"
        content += f"<dsp:ImageData><xop:Include href={quoteattr(href)}/></dsp:ImageData>"
        envelope = self.envelope("SendImage", content, message_id=message_id)
        root_type = 'application/xop+xml; charset=utf-8; type="application/soap+xml"'
        root = (_part(boundary, root_type, "<root@device>"), envelope)
        images = [data] if isinstance(data, bytes) else data
        image = (
            ()
            if without_image
            else itertools.chain((b"\r\n", _part(boundary, "application/octet-stream", content_id)), images)
        )
        kind = f'multipart/related; boundary="{boundary}"; type="application/xop+xml"; start="<root@device>"'
        return kind, itertools.chain(root, image, (f"\r\n--{boundary}--\r\n".encode(),))

    def envelope(
        self, operation: str, content: str, *, message_id: str = "", action: str = "", header: str = ""
    ) -> bytes:
        """Return a request; *header* is XML for the SOAP header beside the usual blocks."""
        return (
            f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}" xmlns:dsp="{DSP}" xmlns:psp="{PSP}"'
            f' xmlns:xop="{XOP}">'
            f"<soap:Header><wsa:To>{escape(self.url)}</wsa:To>"
            f"<wsa:Action>{action or f'{DSP}/{operation}'}</wsa:Action>"
            f"<wsa:MessageID>{message_id or f'urn:uuid:{uuid.uuid4()}'}</wsa:MessageID>"
            f"<wsa:ReplyTo><wsa:Address>{WSA}/role/anonymous</wsa:Address></wsa:ReplyTo>{header}</soap:Header>"
            f"<soap:Body><dsp:{operation}Request>{content}</dsp:{operation}Request></soap:Body></soap:Envelope>"
        ).encode()

    def post(
        self,
        body: bytes | Iterable[bytes],
        content_type: str = SOAP_TYPE,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Post anything at all: bytes with their length, an iterable in chunks."""
        connection = self._connect()
        try:
            connection.connect()
            every = {"Content-Type": content_type, **(headers or {})}
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read all
                connection.request("POST", urlsplit(self.url).path, body, every)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        source = (self.source_address, 0) if self.source_address else None
        parts = urlsplit(self.url)
        if parts.scheme == "https":
            return http.client.HTTPSConnection(
                parts.netloc, timeout=self.timeout, source_address=source, context=self.tls
            )
        return http.client.HTTPConnection(parts.netloc, timeout=self.timeout, source_address=source)


def _element(name: str, text: str) -> str:
    return f"<dsp:{name}>{escape(text)}</dsp:{name}>"


def _cut(whole: bytes, length: int) -> Iterator[bytes]:
    return (whole[at : at + length] for at in range(0, len(whole), length))


def _part(boundary: str, kind: str, content_id: str) -> bytes:
    return (
        f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {content_id}\r\n\r\n"
    ).encode()
