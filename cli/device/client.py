"""A scan device in software: the client's half of WS-DSP, over HTTP or HTTPS with MTOM.

It knows the server by its wire alone and shares no code with it, so that what the two agree on is the protocol.
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

from postscan.cli.device import transport
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
)

__all__ = ["BadAnswer", "Device", "DeviceError", "Package", "ReportedFilter", "ReportedJob", "SoapFault", "Unreachable"]

PSP: Final = "http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp"
XOP: Final = "http://www.w3.org/2004/08/xop/include"

CHUNK: Final = 256 * 1024  # bytes of an image that are in memory at a time
_NAMES: Final = {"dsp": DSP, "psp": PSP, "xop": XOP}
_PATIENCE: Final = (1.0, 2.0, 4.0)  # seconds before another try after a temporary error


@dataclass(frozen=True, slots=True)
class ReportedFilter:
    """Where one filter of a job stands, in the words of the server."""

    dialect: str
    state: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportedJob:
    """Where a job stands, in the words of the server."""

    state: str
    reasons: tuple[str, ...]
    filters: tuple[ReportedFilter, ...]
    images: int

    @property
    def ended(self) -> bool:
        """True for the three states that nothing leaves (ws-dsp.md section 6.1)."""
        return self.state in ("Completed", "Aborted", "Canceled")


class Device:
    """One device, signed in by one user, speaking to one processing service. Use it in a `with` block.

    `user` is the SID of the user as text. Images go out with their length, or in chunks if `chunked` is set. `tls` says
    which servers it trusts, and holds its certificate; None trusts those that this machine trusts. Instead, a `courier`
    may carry its requests, who stays open afterwards.
    """

    def __init__(
        self,
        url: str,
        user: str,
        *,
        chunked: bool = False,
        patience: tuple[float, ...] = _PATIENCE,
        tls: ssl.SSLContext | None = None,
        courier: Transport | None = None,
    ) -> None:
        self.url = url
        self.user = user
        self._chunked = chunked
        self._patience = patience
        self._own = contextlib.ExitStack()
        self._courier: Transport = courier or self._own.enter_context(HttpTransport(tls))

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
        answer = self._ask(
            "CreatePostScanJob",
            _element("UserIdentifier", self.user)
            + _element("PSP_Identifier", process)
            + f"<dsp:PostScanInstructions>{instructions}</dsp:PostScanInstructions>",
        )
        token = answer.findtext(f"{{{DSP}}}JobToken", "").strip()
        if not token:
            raise BadAnswer("the answer to CreatePostScanJob has no JobToken")
        return token

    def send_image(
        self, token: str, document: int, format: str, file: Path, sent: Callable[[int], object] = lambda _count: None
    ) -> None:
        """Send one file as a document of the job; call *sent* with the bytes that have gone out so far."""
        content_id = f"{uuid.uuid4()}@device.invalid"
        description = _element("DocumentId", str(document)) + _element("Format", format)
        self._ask(
            "SendImage",
            _element("JobToken", token)
            + f"<dsp:DocumentDescription>{description}</dsp:DocumentDescription>"
            + f'<dsp:ImageData><xop:Include href="cid:{content_id}"/></dsp:ImageData>',
            lambda envelope: Package(envelope, content_id, file, sent),
        )

    def end(self, token: str) -> None:
        """Tell that there are no more images, so that the filters may begin."""
        self._ask("EndPostScanJob", _element("JobToken", token))

    def cancel(self, token: str) -> None:
        """Ask for the job to be cancelled."""
        self._ask("CancelPostScanJob", _element("JobToken", token))

    def status(self, token: str) -> ReportedJob:
        """Return where the job stands now."""
        names = "<dsp:RequestedElements><dsp:Name>dsp:JobStatus</dsp:Name></dsp:RequestedElements>"
        answer = self._ask("GetPostScanJobElements", _element("JobToken", token) + names)
        status = answer.find(f".//{{{DSP}}}JobStatus")
        if status is None:
            raise BadAnswer("the answer to GetPostScanJobElements has no JobStatus")
        return job_status(status)

    def _ask(self, operation: str, content: str, package: Callable[[bytes], Package] | None = None) -> etree._Element:
        """Send a request and return the body of its answer; try again, as the same message, after a temporary error."""
        action, body = f"{DSP}/{operation}", f"<dsp:{operation}Request>{content}</dsp:{operation}Request>"
        message = transport.envelope(self.url, action, body, names=_NAMES)
        for pause in self._patience:
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
            request = transport.request_for(self.url, message)
        else:
            sending = package(message.data)
            request = OutgoingRequest(self.url, message.action, sending.headers(self._chunked), lambda: sending)
        body = transport.body_of(self._courier(request), message.id)
        return transport.only_child(body, f"dsp:{operation}Response")


class Package:
    """The MTOM form of a SendImage: the envelope and the image as the two parts of one body, read as it is sent."""

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
        """Return the headers of HTTP that announce this body."""
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
    """Read the child dsp:ImagesReceived; raise `BadAnswer` if it is no number."""
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
