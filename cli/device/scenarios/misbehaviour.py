"""What a bad device does, one idea each, and whether the server does about it what the protocol wants.

Each of `MISBEHAVIOURS` plays a whole scene with a server and yields remarks on what it saw.
Source: ws-dsp.md sections 8, 11 (O-8 to O-15) and 12; dpws.md section 8.3; T-A6, T-H2, T-M5.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from postscan.cli.device import transport
from postscan.cli.device.client import Device, ReportedJob
from postscan.cli.device.event_listener import EventListener, ListenerMode, towards
from postscan.cli.device.scenarios import job_session
from postscan.cli.device.scenarios.job_session import ScanJob
from postscan.cli.device.subscription import DeviceSubscription
from postscan.cli.device.transport import (
    BadAnswer,
    DeviceError,
    HttpReply,
    OutgoingRequest,
    SoapFault,
    Transport,
    Unreachable,
)

STRANGER: Final = "00000000-0000-4000-8000-000000000000"
"""A token that no server gives: tokens are random."""

PIECES: Final = 20  # in which a slow device sends an image
VISIT: Final = 20.0  # seconds in which a server should have tried to tell an event
TIME: Final = 600  # seconds of a subscription

_UNKNOWN: Final = "dsp:ClientErrorJobTokenNotFound"
_NOT_NOW: Final = "dsp:OperationFailed"


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the protocol wants of a server, what the server did, and whether that is the same."""

    wanted: str
    did: str
    good: bool


@dataclass(frozen=True, slots=True)
class Scenario:
    """Where a misbehaviour is played: the service, the user, what is scanned, and the honest courier.

    `pause` is how long, in seconds, a late device is silent, and a slow one takes for a page.
    """

    url: str
    user: str
    errand: ScanJob
    courier: Transport
    pause: float


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """What a device does wrong, in a few words, and how it is played."""

    about: str
    run: Callable[[Scenario], Iterator[Assessment]]


def run(name: str, scene: Scenario) -> Iterator[Assessment]:
    """Play a misbehaviour; whatever stops it is a remark as well."""
    try:
        yield from MISBEHAVIOURS[name].run(scene)
    except DeviceError as error:
        yield Assessment("the device gets to the end", str(error), False)


# --- the plays ---------------------------------------------------------------------------------------------------


def _late(scene: Scenario) -> Iterator[Assessment]:
    states: list[str] = []

    def fall_silent(device: Device, token: str) -> None:
        if not states:
            time.sleep(scene.pause)
            states.append(device.status(token).state)

    ended = _job(scene, scene.courier, fall_silent)
    waited = f"the job was {states[0]} after {scene.pause:g} s of silence"
    yield Assessment("a job waits ten minutes for its device", waited, states == ["Creating"])
    yield _complete(scene, ended)


def _duplicate(scene: Scenario) -> Iterator[Assessment]:
    courier = Twice(scene.courier)
    ended = _job(scene, courier)
    did = f"{courier.differed} of {courier.count} second answers differed from the first"
    yield Assessment("a message that comes again gets the same answer", did, courier.differed == 0)
    yield _complete(scene, ended)


def _cut(scene: Scenario) -> Iterator[Assessment]:
    yield _complete(scene, _job(scene, Cutting(scene.courier)))


def _slow(scene: Scenario) -> Iterator[Assessment]:
    yield _complete(scene, _job(scene, Dripping(scene.courier, scene.pause)))


def _hang_up(scene: Scenario) -> Iterator[Assessment]:
    yield _complete(scene, _job(scene, HangingUp(scene.courier)))


def _wrong_order(scene: Scenario) -> Iterator[Assessment]:
    page = scene.errand.pages[0]
    with _device(scene, scene.courier) as device, job_session.withdrawn_on_error(device) as tokens:
        token = device.create(scene.errand.process, scene.errand.instructions)
        tokens.append(token)
        device.end(token)
        yield Assessment("an End before any image is accepted", "it was", True)
        yield _refused("an image after End", _NOT_NOW, lambda: device.send_image(token, 1, page.format, page.file))
        *_, ended = job_session.asked(device, token)
    good = (ended.state, ended.images) == ("Completed", 0)
    yield Assessment("a job without images ends Completed, and gets none later", job_session.sentence(ended), good)


def _foreign_token(scene: Scenario) -> Iterator[Assessment]:
    page = scene.errand.pages[0]
    with _device(scene, scene.courier) as device:
        tries: dict[str, Callable[[], object]] = {
            "an image for": lambda: device.send_image(STRANGER, 1, page.format, page.file),
            "the end of": lambda: device.end(STRANGER),
            "a question about": lambda: device.status(STRANGER),
            "a cancel of": lambda: device.cancel(STRANGER),
        }
        for what, act in tries.items():
            yield _refused(f"{what} a job that is not the device's", _UNKNOWN, act)


def _deaf(scene: Scenario) -> Iterator[Assessment]:
    yield from _with_listener(scene, ListenerMode.DEAF)


def _refuse(scene: Scenario) -> Iterator[Assessment]:
    yield from _with_listener(scene, ListenerMode.REFUSING)


MISBEHAVIOURS: Final = {
    "late": Misbehaviour("falls silent after its first page", _late),
    "duplicate": Misbehaviour("sends each request twice, as the same message", _duplicate),
    "cut": Misbehaviour("breaks off in the middle of each image, and sends it again", _cut),
    "slow": Misbehaviour("drips each image", _slow),
    "hang-up": Misbehaviour("does not wait for any answer, and asks again", _hang_up),
    "wrong-order": Misbehaviour("ends before its first image, and sends that afterwards", _wrong_order),
    "foreign-token": Misbehaviour("uses the token of a job that is not its own", _foreign_token),
    "deaf": Misbehaviour("takes events and never answers", _deaf),
    "refuse": Misbehaviour("answers events with 500", _refuse),
}


# --- couriers that misbehave -------------------------------------------------------------------------------------


class Twice:
    """Carries each request twice. Of `count` answers that have to be equal, `differed` were not."""

    def __init__(self, courier: Transport) -> None:
        self._courier = courier
        self.count = self.differed = 0

    def __call__(self, request: OutgoingRequest, /) -> HttpReply:
        """Carry the request, and again; return the first answer."""
        first, second = self._courier(request), self._courier(request)
        if not _is_question(request):
            self.count += 1
            self.differed += (first.status, _said(first)) != (second.status, _said(second))
        return first


class Cutting:
    """Breaks off in the middle of each image, and then carries it whole, as the same message."""

    def __init__(self, courier: Transport) -> None:
        self._courier = courier

    def __call__(self, request: OutgoingRequest, /) -> HttpReply:
        """Carry the request."""
        if request.action.endswith("/SendImage"):
            half = sum(map(len, request.content())) // 2
            _break_off(self._courier, request, half)
        return self._courier(request)


class Dripping:
    """Carries each image in pieces, over so many *seconds*."""

    def __init__(self, courier: Transport, seconds: float) -> None:
        self._courier = courier
        self._seconds = seconds

    def __call__(self, request: OutgoingRequest, /) -> HttpReply:
        """Carry the request."""
        if not request.action.endswith("/SendImage"):
            return self._courier(request)
        return self._courier(replace(request, content=lambda: self._drips(request)))

    def _drips(self, request: OutgoingRequest) -> Iterator[bytes]:
        length = sum(map(len, request.content())) // PIECES + 1
        for chunk in request.content():
            for at in range(0, len(chunk), length):
                yield chunk[at : at + length]
                time.sleep(self._seconds / PIECES)


class HangingUp:
    """Carries each request that changes something to its last byte, hangs up, and then carries it again."""

    def __init__(self, courier: Transport) -> None:
        self._courier = courier

    def __call__(self, request: OutgoingRequest, /) -> HttpReply:
        """Carry the request."""
        if not _is_question(request):
            _break_off(self._courier, request, sum(map(len, request.content())))
        return self._courier(request)


class _BrokenOff(Exception):
    """The device has had enough."""


def _break_off(courier: Transport, request: OutgoingRequest, after: int) -> None:
    """Carry the request as far as its first *after* bytes, and close the connection."""

    def begin() -> Iterator[bytes]:
        left = after
        for chunk in request.content():
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                raise _BrokenOff

    with contextlib.suppress(_BrokenOff, Unreachable):
        courier(replace(request, content=begin))


def _is_question(request: OutgoingRequest) -> bool:
    return request.action.endswith("/GetPostScanJobElements")


def _said(answer: HttpReply) -> bytes:
    """Return the soap:Body of an answer in its canonical form."""
    body = transport.parsed(answer.data).find(f"{{{transport.SOAP}}}Body")
    if body is None:
        raise BadAnswer(f"{answer.url}: HTTP {answer.status} without a SOAP body")
    return etree.tostring(body, method="c14n", exclusive=True)


# --- what they share ---------------------------------------------------------------------------------------------


def _device(scene: Scenario, courier: Transport) -> Device:
    return Device(scene.url, scene.user, courier=courier)


def _job(
    scene: Scenario, courier: Transport, between: Callable[[Device, str], None] = lambda _device, _token: None
) -> ReportedJob:
    """Scan the errand; call *between* after each image. Return how the job ended."""
    with _device(scene, courier) as device, job_session.withdrawn_on_error(device) as tokens:
        token = device.create(scene.errand.process, scene.errand.instructions)
        tokens.append(token)
        for page in scene.errand.pages:
            device.send_image(token, page.number, page.format, page.file)
            between(device, token)
        device.end(token)
        *_, ended = job_session.asked(device, token)
    return ended


def _with_listener(scene: Scenario, manner: ListenerMode) -> Iterator[Assessment]:
    """Scan with an ear that treats all events in this manner: nothing else may suffer from it."""
    with EventListener(towards(scene.url), manner) as ear:
        subscription = DeviceSubscription(scene.courier, scene.url, ear, TIME)
        with subscription:
            yield _complete(scene, _job(scene, scene.courier))
            end = time.monotonic() + VISIT
            while not ear.visits and time.monotonic() < end:
                time.sleep(job_session.POLL)
            did = f"it had tried {ear.visits} time{'' if ear.visits == 1 else 's'} so far"
            yield Assessment("the server tries to tell the events", did, ear.visits > 0)


def _complete(scene: Scenario, ended: ReportedJob) -> Assessment:
    count = len(scene.errand.pages)
    wanted = f"the job ends Completed, with each of its images once ({count})"
    return Assessment(wanted, job_session.sentence(ended), (ended.state, ended.images) == ("Completed", count))


def _refused(what: str, subcode: str, act: Callable[[], object]) -> Assessment:
    wanted = f"{what} is refused with {subcode}"
    try:
        act()
    except SoapFault as fault:
        return Assessment(wanted, str(fault), fault.subcode == subcode)
    return Assessment(wanted, "it was accepted", False)
