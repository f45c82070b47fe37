"""Devices that violate the protocol, and whether the server reacts as the protocol requires.

Each of `MISBEHAVIOURS` runs one scenario against a server and yields its assessments.
Source: ws-dsp.md sections 8, 11 (O-8 to O-15) and 12; dpws.md section 8.3; T-A6, T-H2, T-M5.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from postscan.cli.device.client import Device, ReportedJob
from postscan.cli.device.eventing.event_listener import EventListener, ListenerMode, local_address_for
from postscan.cli.device.eventing.subscription import DeviceSubscription
from postscan.cli.device.scenarios import job_session
from postscan.cli.device.scenarios.job_session import ScanJob
from postscan.cli.device.scenarios.progress_log import sentence
from postscan.cli.device.transport import (
    SOAP,
    BadAnswer,
    DeviceError,
    HttpReply,
    OutgoingRequest,
    SoapFault,
    Transport,
    Unreachable,
    parse,
)

UNKNOWN_JOB: Final = "00000000-0000-4000-8000-000000000000"
"""A token that no server issues: tokens are random."""

PIECES: Final = 20  # of an image of a slow device
DELIVERY_SECONDS: Final = 20.0  # within which a server should have sent an event
EXPIRES: Final = 600  # seconds of a subscription

_UNKNOWN: Final = "dsp:ClientErrorJobTokenNotFound"
_NOT_NOW: Final = "dsp:OperationFailed"


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the protocol requires of the server, what the server did, and whether that conforms."""

    wanted: str
    did: str
    good: bool


@dataclass(frozen=True, slots=True)
class Scenario:
    """The circumstances of a misbehaviour: service, user, job to scan, and the transport to the server.

    `pause` is the seconds for which a late device is idle, and which a slow one takes for a page.
    """

    url: str
    user: str
    job: ScanJob
    transport: Transport
    pause: float


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """What a device does wrong, in a few words, and the function that does it."""

    about: str
    run: Callable[[Scenario], Iterator[Assessment]]


def run(name: str, scenario: Scenario) -> Iterator[Assessment]:
    """Run a misbehaviour; an error that ends it early is an assessment too."""
    try:
        yield from MISBEHAVIOURS[name].run(scenario)
    except DeviceError as error:
        yield Assessment("the device completes the scenario", str(error), False)


# --- the misbehaviours --------------------------------------------------------------------------------------------


def _late(scenario: Scenario) -> Iterator[Assessment]:
    states: list[str] = []

    def pause_once(device: Device, token: str) -> None:
        if not states:
            time.sleep(scenario.pause)
            states.append(device.status(token).state)

    ended = _job(scenario, scenario.transport, pause_once)
    did = f"the job was {states[0]} after {scenario.pause:g} s without a request"
    yield Assessment("a job waits ten minutes for its device", did, states == ["Creating"])
    yield _complete(scenario, ended)


def _duplicate(scenario: Scenario) -> Iterator[Assessment]:
    transport = RepeatingTransport(scenario.transport)
    ended = _job(scenario, transport)
    did = f"{transport.differed} of {transport.count} second responses differed from the first"
    yield Assessment("a repeated message gets the same response", did, transport.differed == 0)
    yield _complete(scenario, ended)


def _cut(scenario: Scenario) -> Iterator[Assessment]:
    yield _complete(scenario, _job(scenario, InterruptingTransport(scenario.transport)))


def _slow(scenario: Scenario) -> Iterator[Assessment]:
    yield _complete(scenario, _job(scenario, SlowTransport(scenario.transport, scenario.pause)))


def _hang_up(scenario: Scenario) -> Iterator[Assessment]:
    yield _complete(scenario, _job(scenario, DisconnectingTransport(scenario.transport)))


def _wrong_order(scenario: Scenario) -> Iterator[Assessment]:
    page = scenario.job.pages[0]
    with _device(scenario, scenario.transport) as device, job_session.cancelled_on_error(device) as tokens:
        token = device.create(scenario.job.process, scenario.job.instructions)
        tokens.append(token)
        device.end(token)
        yield Assessment("EndPostScanJob before any image is accepted", "it was", True)
        yield _refused(
            "an image after EndPostScanJob", _NOT_NOW, lambda: device.send_image(token, 1, page.format, page.file)
        )
        ended = job_session.wait_for_end(device, token)
    good = (ended.state, ended.images) == ("Completed", 0)
    yield Assessment("a job without images ends Completed, and gets none later", sentence(ended), good)


def _foreign_token(scenario: Scenario) -> Iterator[Assessment]:
    page = scenario.job.pages[0]
    with _device(scenario, scenario.transport) as device:
        requests: dict[str, Callable[[], object]] = {
            "an image for": lambda: device.send_image(UNKNOWN_JOB, 1, page.format, page.file),
            "the end of": lambda: device.end(UNKNOWN_JOB),
            "the status of": lambda: device.status(UNKNOWN_JOB),
            "a cancel of": lambda: device.cancel(UNKNOWN_JOB),
        }
        for what, send in requests.items():
            yield _refused(f"{what} a job that is not the device's", _UNKNOWN, send)


def _deaf(scenario: Scenario) -> Iterator[Assessment]:
    yield from _with_listener(scenario, ListenerMode.SILENT)


def _refuse(scenario: Scenario) -> Iterator[Assessment]:
    yield from _with_listener(scenario, ListenerMode.REFUSING)


MISBEHAVIOURS: Final = {
    "late": Misbehaviour("sends nothing for a while after its first page", _late),
    "duplicate": Misbehaviour("sends each request twice, as the same message", _duplicate),
    "cut": Misbehaviour("closes the connection in the middle of each image, and sends it again", _cut),
    "slow": Misbehaviour("sends each image in small pieces", _slow),
    "hang-up": Misbehaviour("closes the connection before each response, and repeats the request", _hang_up),
    "wrong-order": Misbehaviour("ends its job before the first image, and sends that afterwards", _wrong_order),
    "foreign-token": Misbehaviour("uses the token of a job that is not its own", _foreign_token),
    "deaf": Misbehaviour("accepts events and never responds", _deaf),
    "refuse": Misbehaviour("responds to events with 500", _refuse),
}


# --- transports that misbehave -------------------------------------------------------------------------------------


class RepeatingTransport:
    """Sends each request twice. Of `count` pairs of responses that have to be equal, `differed` were not."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.count = self.differed = 0

    def __call__(self, request: OutgoingRequest, /) -> HttpReply:
        """Send the request twice; return the first response."""
        first, second = self._transport(request), self._transport(request)
        if not _is_query(request):
            self.count += 1
            self.differed += (first.status, _body(first)) != (second.status, _body(second))
        return first


class InterruptingTransport:
    """Closes the connection in the middle of each image, and then sends it as the same message."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __call__(self, request: OutgoingRequest, /) -> HttpReply:
        """Send the request."""
        if request.action.endswith("/SendImage"):
            half = sum(map(len, request.content())) // 2
            _send_partly(self._transport, request, half)
        return self._transport(request)


class SlowTransport:
    """Sends each image in pieces, over this many *seconds*."""

    def __init__(self, transport: Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds

    def __call__(self, request: OutgoingRequest, /) -> HttpReply:
        """Send the request."""
        if not request.action.endswith("/SendImage"):
            return self._transport(request)
        return self._transport(replace(request, content=lambda: self._pieces(request)))

    def _pieces(self, request: OutgoingRequest) -> Iterator[bytes]:
        length = sum(map(len, request.content())) // PIECES + 1
        for chunk in request.content():
            for at in range(0, len(chunk), length):
                yield chunk[at : at + length]
                time.sleep(self._seconds / PIECES)


class DisconnectingTransport:
    """Sends each request but queries, closes the connection before the response, and then sends it again."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __call__(self, request: OutgoingRequest, /) -> HttpReply:
        """Send the request."""
        if not _is_query(request):
            _send_partly(self._transport, request, sum(map(len, request.content())))
        return self._transport(request)


class _ConnectionClosed(Exception):
    """The device closes the connection."""


def _send_partly(transport: Transport, request: OutgoingRequest, after: int) -> None:
    """Send the first *after* bytes of the request, and close the connection."""

    def head() -> Iterator[bytes]:
        left = after
        for chunk in request.content():
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                raise _ConnectionClosed

    with contextlib.suppress(_ConnectionClosed, Unreachable):
        transport(replace(request, content=head))


def _is_query(request: OutgoingRequest) -> bool:
    return request.action.endswith("/GetPostScanJobElements")


def _body(reply: HttpReply) -> bytes:
    """Return the soap:Body of a response in canonical form."""
    body = parse(reply.data).find(f"{{{SOAP}}}Body")
    if body is None:
        raise BadAnswer(f"{reply.url}: HTTP {reply.status} without a SOAP body")
    return etree.tostring(body, method="c14n", exclusive=True)


# --- shared steps ------------------------------------------------------------------------------------------------


def _device(scenario: Scenario, transport: Transport) -> Device:
    return Device(scenario.url, scenario.user, transport=transport)


def _job(
    scenario: Scenario, transport: Transport, between: Callable[[Device, str], None] = lambda _device, _token: None
) -> ReportedJob:
    """Scan the job; call *between* after each image. Return how the job ended."""
    with _device(scenario, transport) as device, job_session.cancelled_on_error(device) as tokens:
        token = device.create(scenario.job.process, scenario.job.instructions)
        tokens.append(token)
        for page in scenario.job.pages:
            device.send_image(token, page.number, page.format, page.file)
            between(device, token)
        device.end(token)
        return job_session.wait_for_end(device, token)


def _with_listener(scenario: Scenario, mode: ListenerMode) -> Iterator[Assessment]:
    """Scan with a listener in this mode, which must not affect the job."""
    with EventListener(local_address_for(scenario.url), mode) as listener:
        subscription = DeviceSubscription(scenario.transport, scenario.url, listener, EXPIRES)
        with subscription:
            yield _complete(scenario, _job(scenario, scenario.transport))
            end = time.monotonic() + DELIVERY_SECONDS
            while not listener.requests and time.monotonic() < end:
                time.sleep(job_session.POLL)
            did = f"it had tried {listener.requests} time{'' if listener.requests == 1 else 's'} so far"
            yield Assessment("the server tries to deliver the events", did, listener.requests > 0)


def _complete(scenario: Scenario, ended: ReportedJob) -> Assessment:
    count = len(scenario.job.pages)
    wanted = f"the job ends Completed, with each of its images once ({count})"
    return Assessment(wanted, sentence(ended), (ended.state, ended.images) == ("Completed", count))


def _refused(what: str, subcode: str, send: Callable[[], object]) -> Assessment:
    wanted = f"{what} is refused with {subcode}"
    try:
        send()
    except SoapFault as fault:
        return Assessment(wanted, str(fault), fault.subcode == subcode)
    return Assessment(wanted, "it was accepted", False)
