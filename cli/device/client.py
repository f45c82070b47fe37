"""The WS-DSP client of the simulated device, over HTTP or HTTPS with MTOM.

It shares no code with the server, so that the two have only the protocol in common.
Source: ws-dsp.md sections 2, 4, 5 and 10.1.
"""

from __future__ import annotations

import contextlib
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from xml.sax.saxutils import escape

from lxml import etree

from postscan.cli.device.transport import (
    DSP,
    BadAnswer,
    DeviceError,
    HttpTransport,
    OutgoingRequest,
    SoapFault,
    SoapMessage,
    Transport,
    Unreachable,
    body_of,
    envelope,
    only_child,
    request_for,
)

__all__ = ["BadAnswer", "Device", "DeviceError", "Package", "ReportedFilter", "ReportedJob", "SoapFault", "Unreachable"]

PSP: Final = "http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp"
XOP: Final = "http://www.w3.org/2004/08/xop/include"

CHUNK: Final = 256 * 1024  # bytes of an image that are in memory at a time
_NAMES: Final = {"dsp": DSP, "psp": PSP, "xop": XOP}
_RETRY_PAUSES: Final = (1.0, 2.0, 4.0)  # seconds before each retry after a temporary error


@dataclass(frozen=True, slots=True)
class ReportedFilter:
    """The status of one filter of a job, as the server reports it."""

    dialect: str
    state: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportedJob:
    """The status of a job, as the server reports it."""

    state: str
    reasons: tuple[str, ...]
    filters: tuple[ReportedFilter, ...]
    images: int

    @property
    def ended(self) -> bool:
        """True for the three final states (ws-dsp.md section 6.1)."""
        return self.state in ("Completed", "Aborted", "Canceled")


class Device:
    """A client of one processing service for one user. Use it in a `with` block.

    `user` is the SID of the user as text. Images are sent with Content-Length, or in chunks if `chunked` is set. `tls`
    has the trusted CAs and the device's certificate; None trusts the CAs of this machine. If a `transport` is given,
    it sends the requests and stays open afterwards. `retry_pauses` are the seconds before each retry after a temporary
    error.
    """

    def __init__(
        self,
        url: str,
        user: str,
        *,
        chunked: bool = False,
        retry_pauses: tuple[float, ...] = _RETRY_PAUSES,
        tls: ssl.SSLContext | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.url = url
        self.user = user
        self._chunked = chunked
        self._retry_pauses = retry_pauses
        self._own = contextlib.ExitStack()
        self._transport: Transport = transport or self._own.enter_context(HttpTransport(tls))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._own.close()

    def create(self, process: str, instructions: str) -> str:
        """Create a job of the scan process with this GUID and return its token.

        *instructions* is the content of psp:PostScanInstructions as XML text.
        """
        response = self._request(
            "CreatePostScanJob",
            _element("UserIdentifier", self.user)
            + _element("PSP_Identifier", process)
            + f"<dsp:PostScanInstructions>{instructions}</dsp:PostScanInstructions>",
        )
        token = response.findtext(f"{{{DSP}}}JobToken", "").strip()
        if not token:
            raise BadAnswer("the response to CreatePostScanJob has no JobToken")
        return token

    def send_image(
        self, token: str, document: int, format: str, file: Path, sent: Callable[[int], object] = lambda _count: None
    ) -> None:
        """Send one file as a document of the job; call *sent* with the number of bytes sent so far."""
        content_id = f"{uuid.uuid4()}@device.invalid"
        description = _element("DocumentId", str(document)) + _element("Format", format)
        self._request(
            "SendImage",
            _element("JobToken", token)
            + f"<dsp:DocumentDescription>{description}</dsp:DocumentDescription>"
            + f'<dsp:ImageData><xop:Include href="cid:{content_id}"/></dsp:ImageData>',
            lambda envelope: Package(envelope, content_id, file, sent),
        )

    def end(self, token: str) -> None:
        """End the job's images, so that its filters can start."""
        self._request("EndPostScanJob", _element("JobToken", token))

    def cancel(self, token: str) -> None:
        """Request the cancellation of the job."""
        self._request("CancelPostScanJob", _element("JobToken", token))

    def status(self, token: str) -> ReportedJob:
        """Return the current status of the job."""
        names = "<dsp:RequestedElements><dsp:Name>dsp:JobStatus</dsp:Name></dsp:RequestedElements>"
        response = self._request("GetPostScanJobElements", _element("JobToken", token) + names)
        status = response.find(f".//{{{DSP}}}JobStatus")
        if status is None:
            raise BadAnswer("the response to GetPostScanJobElements has no JobStatus")
        return job_status(status)

    def _request(
        self, operation: str, content: str, package: Callable[[bytes], Package] | None = None
    ) -> etree._Element:
        """Send a request, again after a temporary error; return the first child of the response's body."""
        action, body = f"{DSP}/{operation}", f"<dsp:{operation}Request>{content}</dsp:{operation}Request>"
        message = envelope(self.url, action, body, names=_NAMES)
        for pause in self._retry_pauses:
            try:
                return self._exchange(message, package, operation)
            except SoapFault as fault:
                if fault.subcode != "dsp:ServerErrorTemporaryError":
                    raise
                time.sleep(pause)
        return self._exchange(message, package, operation)

    def _exchange(
        self, message: SoapMessage, package: Callable[[bytes], Package] | None, operation: str
    ) -> etree._Element:
        if package is None:
            request = request_for(self.url, message)
        else:
            attachment = package(message.data)
            request = OutgoingRequest(self.url, message.action, attachment.headers(self._chunked), lambda: attachment)
        body = body_of(self._transport(request), message.id)
        return only_child(body, f"dsp:{operation}Response")


class Package:
    """The MTOM body of a SendImage: envelope and image as two parts; the image is read while it is sent."""

    def __init__(self, envelope: bytes, content_id: str, file: Path, sent: Callable[[int], object]) -> None:
        self._boundary = uuid.uuid4().hex
        self._file = file
        self._sent = sent
        self._before = (
            f"--{self._boundary}\r\n"
            'Content-Type: application/xop+xml; charset=utf-8; type="application/soap+xml"\r\n'
            "Content-Transfer-Encoding: binary\r\nContent-ID: <envelope@device.invalid>\r\n\r\n"
        ).encode() + envelope
        self._before += (
            f"\r\n--{self._boundary}\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Transfer-Encoding: binary\r\nContent-ID: <{content_id}>\r\n\r\n"
        ).encode()
        self._after = f"\r\n--{self._boundary}--\r\n".encode()

    def headers(self, chunked: bool) -> dict[str, str]:
        """Return the HTTP headers of this body."""
        kind = (
            f'multipart/related; boundary="{self._boundary}"; type="application/xop+xml"; '
            'start="<envelope@device.invalid>"; start-info="application/soap+xml"'
        )
        headers = {"Content-Type": kind, "MIME-Version": "1.0"}
        if not chunked:
            size = len(self._before) + self._file.stat().st_size + len(self._after)
            headers["Content-Length"] = str(size)
        return headers

    def __iter__(self) -> Iterator[bytes]:
        yield self._before
        count = 0
        with self._file.open("rb") as image:
            while chunk := image.read(CHUNK):
                yield chunk
                count += len(chunk)
                self._sent(count)
        yield self._after


def _element(name: str, text: str) -> str:
    return f"<dsp:{name}>{escape(text)}</dsp:{name}>"


def job_status(status: etree._Element) -> ReportedJob:
    """Read a dsp:JobStatus (ws-dsp.md section 5)."""
    return ReportedJob(
        state=_text(status, "JobState"),
        reasons=_texts(status, "JobStateReasons", "JobStateReason"),
        filters=filter_statuses(status, "FilterStatuses"),
        images=images_received(status),
    )


def images_received(element: etree._Element) -> int:
    """Read the child dsp:ImagesReceived; raise `BadAnswer` if it is not a number."""
    text = _text(element, "ImagesReceived") or "0"
    if not (text.isascii() and text.isdecimal()):
        raise BadAnswer(f"ImagesReceived is {text!r}; expected a number")
    return int(text)


def filter_statuses(element: etree._Element, name: str) -> tuple[ReportedFilter, ...]:
    """Read the child of this name as dsp:FilterStatus elements."""
    return tuple(
        ReportedFilter(
            _text(each, "Dialect"),
            _text(each, "FilterState"),
            _texts(each, "FilterStateReasons", "FilterStateReason"),
        )
        for each in element.iterfind(f"{{{DSP}}}{name}/{{{DSP}}}FilterStatus")
    )


def _text(element: etree._Element, name: str) -> str:
    return element.findtext(f"{{{DSP}}}{name}", "").strip()


def _texts(element: etree._Element, outer: str, inner: str) -> tuple[str, ...]:
    return tuple((one.text or "").strip() for one in element.iterfind(f"{{{DSP}}}{outer}/{{{DSP}}}{inner}"))
