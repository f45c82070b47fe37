"""The operations of both services, as rows of two tables: `PROCESSING` and `CONFIGURATION`.

A row names the function that reads the body, the verb of the service, and the function that writes the response.
`administrator` checks the caller before a row of WS-DSC is used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, NamedTuple

from lxml import etree

from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal
from postscan.core.model.records import RequestKey
from postscan.core.service import waiting
from postscan.core.service.images import ImageSink
from postscan.core.service.jobs import PostScanService
from postscan.core.service.waiting import Steps
from postscan.soap.message import addressing, faults
from postscan.soap.message.request import SoapRequest
from postscan.soap.services import configuration, processing, receipts, requested_elements
from postscan.soap.services.arguments import ElementsRequest, TokenRequest
from postscan.soap.services.requested_elements import RequestedName
from postscan.soap.xml import namespaces

LARGEST: Final = 32_767
"""Octets of the largest envelope with a list of jobs (DPWS: MAX_ENVELOPE_SIZE)."""

MOST_SUMMARIES: Final = 100
"""Ended jobs that are read for a history: more than fit into an envelope of that size."""

_GUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)


class Threads(Enum):
    """The kinds of work that do not wait for the threads of one another."""

    SHORT = "short"
    CREATE = "create"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row: `decode` reads the body, `run` calls the service, `encode` writes the body of the response.

    `cached` is a `run` that never blocks; it returns None where it would have to. `threads` names the threads that
    `run` needs, so that verbs that take long do not delay the others. With `waits`, `run` returns the steps of a verb
    that waits (`postscan.core.service.waiting`). `once` marks verbs that have one effect and one response, however
    often the same request arrives (D14). With `takes_image`, `run` returns an `ImageSink`: the caller writes the bytes
    of the image, commits it, and encodes the response after that.
    """

    decode: Callable[[etree._Element], Any]
    run: Callable[[PostScanService, Principal, Any, RequestKey | None], Any]
    encode: Callable[[OperationCall, Any], str]
    cached: Callable[[PostScanService, Principal, Any], Any] | None = None
    threads: Threads = Threads.SHORT
    waits: bool = False
    once: bool = True
    takes_image: bool = False


@dataclass(frozen=True, slots=True)
class OperationCall:
    """A request whose body was read; `id` identifies it if the client may repeat it."""

    header: addressing.Header
    operation: Operation
    request: Any
    id: RequestKey | None


class JobAnswer(NamedTuple):
    """A job as a caller sees it, with its receipts as XML if they are requested."""

    job: Job
    receipts: str = ""


class Repository(NamedTuple):
    """The server as an administrator sees it: the dialects of its usable filters, and its state."""

    filters: tuple[str, ...]
    state: str


def _create(
    service: PostScanService, by: Principal, request: processing.CreateRequest, id: RequestKey | None
) -> JobToken:
    return service.create(by, request.user_sid, request.process_id, request.instructions, id)


def _open_image(
    service: PostScanService, by: Principal, request: processing.SendImageRequest, id: RequestKey | None
) -> ImageSink:
    return service.open_image(request.token, by, request.document_id, request.format, id)


def _end(service: PostScanService, by: Principal, request: TokenRequest, id: RequestKey | None) -> Steps[None]:
    return service.end_steps(request.token, by, id)


def _cancel(service: PostScanService, by: Principal, request: TokenRequest, id: RequestKey | None) -> Steps[Job]:
    return service.cancel_steps(request.token, by, id)


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
    """Return the octets that are left for the body of the response."""
    return LARGEST - len(addressing.reply(call.header, ""))


PROCESSING: Final[Mapping[str, Operation]] = {
    namespaces.DSP + "/" + name: operation
    for name, operation in {
        "CreatePostScanJob": Operation(
            processing.read_create,
            _create,
            lambda _call, token: processing.write_created(token),
            threads=Threads.CREATE,
        ),
        "SendImage": Operation(
            processing.read_send_image,
            _open_image,
            lambda _call, _none: processing.SEND_IMAGE_RESPONSE,
            takes_image=True,
        ),
        "EndPostScanJob": Operation(
            processing.read_end, _end, lambda _call, _none: processing.END_RESPONSE, waits=True
        ),
        "CancelPostScanJob": Operation(
            processing.read_cancel,
            _cancel,
            lambda _call, _job: processing.CANCEL_RESPONSE,
            threads=Threads.CANCEL,
            waits=True,
        ),
        "GetPostScanJobElements": Operation(
            processing.read_elements,
            _elements,
            lambda call, found: processing.write_elements(found.job, call.request.names, found.receipts),
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
            lambda call, found: configuration.write_repository_elements(call.request, found.filters, found.state),
            once=False,
        ),
        "CancelPostScanJob": Operation(
            configuration.read_cancel,
            _cancel,
            lambda _call, _job: configuration.CANCEL_RESPONSE,
            threads=Threads.CANCEL,
            waits=True,
        ),
        "GetPostScanJobElements": Operation(
            configuration.read_elements,
            _elements,
            lambda call, found: configuration.write_elements(found.job, call.request.names, found.receipts),
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
    """Return *by*, the administrator who sent a message to the configuration service; raise `Fault` if it is None.

    Call it before `read`, so that other callers learn nothing about arguments and tokens (ws-dsc.md section 1.5).
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
    """Run a call in this thread and return the envelope; raise `Fault`, or an error that `faults.FAULTS` maps."""
    result = run(call, service, by)
    return encode(call, waiting.run(result) if call.operation.waits else result)


def run(call: OperationCall, service: PostScanService, by: Principal) -> Any:
    """Call the service and return its result: an `ImageSink` if the operation takes an image, `Steps` if it waits."""
    return call.operation.run(service, by, call.request, call.id)


def encode(call: OperationCall, result: Any) -> bytes:
    """Return the envelope of the response."""
    return addressing.reply(call.header, call.operation.encode(call, result))


def respond_from_cache(call: OperationCall, service: PostScanService, by: Principal) -> bytes | None:
    """Return the envelope of the response if the service has what it needs in memory, else None; never blocks."""
    if call.operation.cached is None:
        return None
    result = call.operation.cached(service, by, call.request)
    return None if result is None else encode(call, result)
