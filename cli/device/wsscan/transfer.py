"""RetrieveImage: send the next page of a job as MTOM, in pieces, until the job or the power ends.

The end boundary is sent only if the job has not been cancelled before; from then on it counts the page as sent.
Source: ws-scan.md sections 6 and 9.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Final

from lxml import etree

from postscan.cli.device.wsscan.jobs.job_list import DeviceJob, WsdJobState
from postscan.cli.device.wsscan.jobs.pages import ScannedPage, generated
from postscan.cli.device.wsscan.operations import ScanServiceParts, checked_body
from postscan.cli.device.wsscan.protocol.http_server import ConnectionDropped, WsdHttpRequest, WsdHttpResponse
from postscan.cli.device.wsscan.protocol.mtom import PIECE, ImageResponse, InlineImage, MultipartImage, pieces
from postscan.cli.device.wsscan.protocol.soap import WsdFault, WsdRequest, text

SLOW_PIECE: Final = 3072
"""Bytes that are sent at a time by a slow scanner."""

FOREIGN_BARS: Final = 8
"""Bars of the test page that another job would have."""


def retrieve_image(parts: ScanServiceParts, request: WsdRequest, http: WsdHttpRequest) -> WsdHttpResponse:
    """Return the response with the next page; raise `WsdFault` if there is none."""
    job, page = _next_page(parts, checked_body(request))
    try:
        if parts.misbehaviours.use("jam" if parts.misbehaviours.page("jam", job.taken) else ""):
            parts.jobs.end(job, WsdJobState.ABORTED, "ScannerStopped")
            parts.status.set("MediaJam")
            raise WsdFault("wscn:OperationFailed", "Paper is jammed in the feeder.", sender=False)
        if parts.traits.hangs:
            http.wait()
        _wait(http, job, parts.misbehaviours.number("late"))
    except ConnectionDropped:
        _lost(parts, job)
        raise
    foreign = parts.misbehaviours.page("foreign-image", job.taken)
    answered = f"urn:uuid:{uuid.uuid4()}" if foreign else request.message_id  # a response that was meant for another
    image = _image(parts, request, page, answered)
    return WsdHttpResponse(200, _content(parts, job, image, page.data, http), image.type)


def _image(parts: ScanServiceParts, request: WsdRequest, page: ScannedPage, answered: str) -> ImageResponse:
    w, content_id = parts.writer, f"{uuid.uuid4()}@wsscan"
    inline = parts.traits.inline_images
    data = w.element("wscn:ScanData", content_id if inline else w.element("xop:Include", href=f"cid:{content_id}"))
    content = [w.element("wscn:RetrieveImageResponse", data)]
    envelope = w.envelope(f"{request.action}Response", content, relates_to=answered)
    if inline:
        return InlineImage(envelope, content_id.encode("ascii"))
    return MultipartImage(envelope, page.media_type, content_id, odd=parts.traits.odd_mtom)


def _next_page(parts: ScanServiceParts, request: etree._Element) -> tuple[DeviceJob, ScannedPage]:
    job = parts.jobs.find(text(request, "wscn:JobId"))
    if text(request, "wscn:JobToken") != job.token:
        raise WsdFault("wscn:ClientErrorInvalidJobToken", "The token is not that of the job.")
    if not text(request, "wscn:DocumentDescription/wscn:DocumentName"):
        parts.deviates("RetrieveImage", "it has no DocumentName")
    try:
        page = parts.jobs.take(job)
    except WsdFault as fault:
        if parts.traits.end_is_unknown_job and fault.subcode == "wscn:ClientErrorNoImagesAvailable":
            raise WsdFault("wscn:ClientErrorJobIdNotFound", str(fault)) from None
        raise
    bad = parts.misbehaviours
    if bad.page("repeat-page", job.taken) and job.taken > 1:
        page = job.pages[job.taken - 2]
    if bad.page("foreign-image", job.taken):
        page = generated(FOREIGN_BARS)[-1]
    return job, page


def _content(
    parts: ScanServiceParts, job: DeviceJob, image: ImageResponse, data: bytes, http: WsdHttpRequest
) -> Iterator[bytes]:
    """Yield the body; abort the job if the client leaves, stop without the end boundary if the job has ended."""
    done = False
    bad, number = parts.misbehaviours, job.taken
    broken = bad.use("half-image" if bad.page("half-image", number) else "")
    short = bad.use("no-boundary" if bad.page("no-boundary", number) else "")
    pace = bad.number("slow")
    try:
        yield image.head
        sent = 0
        start = time.monotonic()
        for piece in pieces(data[: len(data) // 2] if broken or short else data, SLOW_PIECE if pace else PIECE):
            if job.over.is_set():
                raise ConnectionDropped
            yield image.encoded(piece)
            sent += len(piece)
            if pace:
                _wait(http, job, start + sent / pace - time.monotonic())
        if broken:
            raise ConnectionDropped
        if not short:
            if not parts.jobs.sent(job):
                raise ConnectionDropped
            done = True
            yield image.tail
    finally:
        if not done:
            _lost(parts, job)


def _wait(http: WsdHttpRequest, job: DeviceJob, seconds: float) -> None:
    """Wait; raise `ConnectionDropped` if the job, the client or the power ends."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if job.over.is_set():
            raise ConnectionDropped
        http.wait(min(0.05, left))


def _lost(parts: ScanServiceParts, job: DeviceJob) -> None:
    """Abort a job whose page did not arrive: nothing can be fetched twice."""
    parts.jobs.end(job, WsdJobState.ABORTED, "ImageTransferError")
