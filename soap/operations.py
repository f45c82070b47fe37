"""The operations of WS-DSP as rows: to learn what the service can do, read this one screen.

A row says how the body is read, which verb of the service it means, and how the answer is written. SendImage is here
for its words only: its bytes come as a stream, and `postscan.soap.app` carries them into the spool.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from postscan.core.errors import PostscanError
from postscan.core.model import Job, JobToken, Principal
from postscan.core.service import PostScanService
from postscan.soap import addressing, envelope, faults, ns, processing


class NoAnswer(Exception):
    """The transport broke: there is nobody to send a fault to, or nothing to put into one."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One row: `decode` reads the body, `run` calls the service, `encode` writes the answer's body.

    `glance` is a `run` that never blocks, and returns None where it would. `waits` marks the verbs that may take a
    second on purpose, so that they do not hold up the others.
    """

    decode: Callable[[etree._Element], Any]
    run: Callable[[PostScanService, Principal, Any], Any]
    encode: Callable[[Any, Any], str]
    glance: Callable[[PostScanService, Principal, Any], Any] | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was read and understood."""

    header: addressing.Header
    operation: Operation
    request: Any


def _create(service: PostScanService, by: Principal, request: processing.CreateRequest) -> JobToken:
    return service.create(by, request.user_sid, request.process_id, request.instructions)


def _send_image(service: PostScanService, by: Principal, request: processing.SendImageRequest) -> None:
    if request.inline is None:
        raise faults.invalid_argument("ImageData", request.cid or "", "the message has no part with this Content-ID")
    with service.receiving(request.token, by, request.document_id, request.format) as arrival:
        arrival.write(request.inline)


def _end(service: PostScanService, by: Principal, request: processing.TokenRequest) -> None:
    service.end(request.token, by)


def _cancel(service: PostScanService, by: Principal, request: processing.TokenRequest) -> Job:
    return service.cancel(request.token, by)


def _glance(service: PostScanService, by: Principal, request: processing.ElementsRequest) -> Job | None:
    return service.glance(request.token, by)


def _elements(service: PostScanService, by: Principal, request: processing.ElementsRequest) -> Job:
    return service.job(request.token, by)


OPERATIONS: Final = {
    ns.DSP + "/" + name: operation
    for name, operation in {
        "CreatePostScanJob": Operation(
            processing.read_create, _create, lambda _request, token: processing.write_created(token)
        ),
        "SendImage": Operation(
            processing.read_send_image, _send_image, lambda _request, _none: processing.SEND_IMAGE_RESPONSE
        ),
        "EndPostScanJob": Operation(
            processing.read_end, _end, lambda _request, _none: processing.END_RESPONSE, waits=True
        ),
        "CancelPostScanJob": Operation(
            processing.read_cancel, _cancel, lambda _request, _job: processing.CANCEL_RESPONSE, waits=True
        ),
        "GetPostScanJobElements": Operation(
            processing.read_elements,
            _elements,
            lambda request, job: processing.write_elements(job, request.names),
            glance=_glance,
        ),
    }.items()
}


def read(data: bytes) -> Call:
    """Return the call in the SOAP part of a request; the `Fault` that it raises instead knows what it relates to."""
    message = envelope.read(data)
    try:
        header = addressing.read(message.headers)
        operation = OPERATIONS.get(header.action)
        if operation is None:
            raise faults.action_not_supported(header.action)
        try:
            return Call(header, operation, operation.decode(message.body))
        except PostscanError as error:
            raise faults.from_error(error) from error
    except faults.Fault as fault:
        fault.relates_to = addressing.message_id(message.headers)
        raise


def answer(call: Call, service: PostScanService, by: Principal) -> bytes:
    """Carry out a call and return the envelope of its answer; raise `Fault`."""
    with related(call):
        result = call.operation.run(service, by, call.request)
        return addressing.reply(call.header, call.operation.encode(call.request, result))


def glance(call: Call, service: PostScanService, by: Principal) -> bytes | None:
    """Return the envelope of the answer if that needs no waiting, else None; raise `Fault`."""
    if call.operation.glance is None:
        return None
    with related(call):
        result = call.operation.glance(service, by, call.request)
        if result is None:
            return None
        return addressing.reply(call.header, call.operation.encode(call.request, result))


@contextlib.contextmanager
def related(call: Call) -> Iterator[None]:
    """Turn every error of the body into a fault that relates to *call*."""
    try:
        yield
    except NoAnswer:
        raise
    except faults.Fault as fault:
        fault.relates_to = call.header.message_id
        raise
    except Exception as error:
        known = faults.from_error(error)
        known.relates_to = call.header.message_id
        raise known from error
