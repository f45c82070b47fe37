"""The operations of both services as rows: to learn what they can do, read this one screen.

A row says how the body is read, which verb of the service it means, and how the answer is written. SendImage is here
for its words only: its bytes come as a stream, and `postscan.soap.http.endpoints` carries them into the spool. Who may
call the rows of WS-DSC is decided before they are looked at (`administrator`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from lxml import etree

from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal
from postscan.core.model.records import RequestKey
from postscan.core.service.jobs import PostScanService
from postscan.soap.message import addressing, faults
from postscan.soap.message.request import SoapRequest
from postscan.soap.services import configuration, processing, receipts, requested_elements
from postscan.soap.services.arguments import ElementsRequest, TokenRequest
from postscan.soap.services.requested_elements import RequestedName
from postscan.soap.xml import namespaces

LARGEST: Final = 32_767
"""Octets of the largest envelope that a list of jobs may make (DPWS: MAX_ENVELOPE_SIZE)."""

MOST_SUMMARIES: Final = 100
"""Ended jobs that are looked at for a history: more than an envelope of that size can tell of."""

_GUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Operation:
    """One row: `decode` reads the body, `run` calls the service, `encode` writes the answer's body for the call.

    `cached` is a `run` that never blocks, and returns None where it would. `waits` marks the verbs that may take
    seconds on purpose, so that they do not hold up the others. `once` marks those that have one effect, and one
    response, however often the same request arrives (D14).
    """

    decode: Callable[[etree._Element], Any]
    run: Callable[[PostScanService, Principal, Any, RequestKey | None], Any]
    encode: Callable[[OperationCall, Any], str]
    cached: Callable[[PostScanService, Principal, Any], Any] | None = None
    waits: bool = False
    once: bool = True


@dataclass(frozen=True, slots=True)
class OperationCall:
    """A request that was read and understood; `id` names it, if it may come again."""

    header: addressing.Header
    operation: Operation
    request: Any
    id: RequestKey | None


class JobAnswer(NamedTuple):
    """What a caller gets to see of a job: the job, and its receipts as XML if they were asked for."""

    job: Job
    receipts: str = ""


class Repository(NamedTuple):
    """What an administrator gets to see of the server: the dialects of its usable filters, and its state."""

    filters: tuple[str, ...]
    state: str


def _create(
    service: PostScanService, by: Principal, request: processing.CreateRequest, id: RequestKey | None
) -> JobToken:
    return service.create(by, request.user_sid, request.process_id, request.instructions, id)


def _send_image(
    service: PostScanService, by: Principal, request: processing.SendImageRequest, id: RequestKey | None
) -> None:
    if request.inline is None:
        raise faults.invalid_argument("ImageData", request.cid or "", "the message has no part with this Content-ID")
    with service.open_image(request.token, by, request.document_id, request.format, id) as image:
        image.write(request.inline)


def _end(service: PostScanService, by: Principal, request: TokenRequest, id: RequestKey | None) -> None:
    service.end(request.token, by, id)


def _cancel(service: PostScanService, by: Principal, request: TokenRequest, id: RequestKey | None) -> Job:
    return service.cancel(request.token, by, id)


def _cached(service: PostScanService, by: Principal, request: ElementsRequest) -> JobAnswer | None:
    if requested_elements.asks_for_receipts(request.names):
        return None
    job = service.cached(request.token, by)
    return None if job is None else JobAnswer(job)


def _elements(service: PostScanService, by: Principal, request: ElementsRequest, _id: RequestKey | None) -> JobAnswer:
    job = service.job(request.token, by)
    if not requested_elements.asks_for_receipts(request.names):
        return JobAnswer(job)
    return JobAnswer(job, receipts.write(job, service.deliveries(request.token, by)))


def _repository(
    service: PostScanService, by: Principal, _names: tuple[RequestedName, ...], _id: RequestKey | None
) -> Repository:
    return Repository(service.filters(by), service.state(by))


def _active(service: PostScanService, by: Principal, _request: None, _id: RequestKey | None) -> list[Job]:
    return service.active(by)


def _history(service: PostScanService, by: Principal, _request: None, _id: RequestKey | None) -> list[Job]:
    return service.history(by, MOST_SUMMARIES)


def _room(call: OperationCall) -> int:
    """Return the octets that are left for the body of the answer."""
    return LARGEST - len(addressing.reply(call.header, ""))


PROCESSING: Final[Mapping[str, Operation]] = {
    namespaces.DSP + "/" + name: operation
    for name, operation in {
        "CreatePostScanJob": Operation(
            processing.read_create, _create, lambda _call, token: processing.write_created(token), waits=True
        ),
        "SendImage": Operation(
            processing.read_send_image, _send_image, lambda _call, _none: processing.SEND_IMAGE_RESPONSE
        ),
        "EndPostScanJob": Operation(
            processing.read_end, _end, lambda _call, _none: processing.END_RESPONSE, waits=True
        ),
        "CancelPostScanJob": Operation(
            processing.read_cancel, _cancel, lambda _call, _job: processing.CANCEL_RESPONSE, waits=True
        ),
        "GetPostScanJobElements": Operation(
            processing.read_elements,
            _elements,
            lambda call, seen: processing.write_elements(seen.job, call.request.names, seen.receipts),
            cached=_cached,
            once=False,
        ),
    }.items()
}
"""The port type of WS-DSP, for devices: operations by action."""

CONFIGURATION: Final[Mapping[str, Operation]] = {
    namespaces.DSC + "/" + name: operation
    for name, operation in {
        "GetRepositoryElements": Operation(
            configuration.read_repository_elements,
            _repository,
            lambda call, seen: configuration.write_repository_elements(call.request, seen.filters, seen.state),
            once=False,
        ),
        "CancelPostScanJob": Operation(
            configuration.read_cancel, _cancel, lambda _call, _job: configuration.CANCEL_RESPONSE, waits=True
        ),
        "GetPostScanJobElements": Operation(
            configuration.read_elements,
            _elements,
            lambda call, seen: configuration.write_elements(seen.job, call.request.names, seen.receipts),
            cached=_cached,
            once=False,
        ),
        "GetActiveJobs": Operation(
            configuration.read_active, _active, lambda _call, jobs: configuration.write_active(jobs), once=False
        ),
        "GetJobHistory": Operation(
            configuration.read_history,
            _history,
            lambda call, jobs: configuration.write_history(jobs, _room(call)),
            once=False,
        ),
    }.items()
}
"""The port type of WS-DSC, for administrators: operations by action."""


def administrator(message: SoapRequest, by: Principal | None) -> Principal:
    """Return the administrator who sent a message to the configuration service; raise the same `Fault` for all others.

    To be asked before `read`: whoever is none learns nothing of arguments and tokens (ws-dsc.md section 1.5).
    """
    if by is None:
        raise faults.not_scan_admin(f"{message.header.action[:255]!r} by a caller who is no administrator")
    return by


def read(message: SoapRequest, port_type: Mapping[str, Operation] = PROCESSING) -> OperationCall:
    """Return the call that a message asks for; raise `Fault` for an unknown action or a wrong body."""
    header = message.header
    operation = port_type.get(header.action)
    if operation is None:
        raise faults.action_not_supported(header.action)
    if message.body.tag == namespaces.soap("Body"):
        raise faults.malformed("the Body is empty; expected the request of an operation")
    request = operation.decode(message.body)
    return OperationCall(header, operation, request, _request_key(header, request) if operation.once else None)


def _request_key(header: addressing.Header, request: Any) -> RequestKey | None:
    """Return what identifies a request that the client may repeat; None if its MessageID is not unique.

    Some devices send a fixed text as MessageID, so only a GUID is taken as unique. The bytes of an image are not part
    of the key: the service compares their digest.
    """
    if not _GUID.search(header.message_id):
        return None
    if isinstance(request, processing.SendImageRequest):
        request = replace(request, cid=None, inline=None)
    return RequestKey(header.message_id, hashlib.sha256(repr(request).encode()).hexdigest())


def respond(call: OperationCall, service: PostScanService, by: Principal) -> bytes:
    """Run a call and return the envelope of its response; raise `Fault`, or an error that `faults.FAULTS` maps."""
    result = call.operation.run(service, by, call.request, call.id)
    return addressing.reply(call.header, call.operation.encode(call, result))


def respond_from_cache(call: OperationCall, service: PostScanService, by: Principal) -> bytes | None:
    """Return the envelope of the response if the service has what it needs in memory, else None; never blocks."""
    if call.operation.cached is None:
        return None
    result = call.operation.cached(service, by, call.request)
    return None if result is None else addressing.reply(call.header, call.operation.encode(call, result))
