"""A device that misbehaves really does, as the same message; and it says what a server should not have done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hosted import OTHER_TOKEN, TOKEN, Hosted, fault, hosting
from typer.testing import Result

from postscan.cli.demo import sandbox
from postscan.cli.device import command
from postscan.cli.device.scenarios import misbehaviour
from postscan.cli.device.scenarios.misbehaviour import (
    PIECES,
    DisconnectingTransport,
    InterruptingTransport,
    RepeatingTransport,
    SlowTransport,
)
from postscan.cli.device.transport import DSP, HttpReply, OutgoingRequest, Transport, Unreachable

ARCHIVE = Path(sandbox.__file__).parent / "samples" / "archive.xml"
GUID = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"
POLLS = ("GetPostScanJobElements",)
Run = Callable[..., Result]

BODY = bytes(range(250)) * 40
SOAP = b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body><a>%d</a></e:Body></e:Envelope>'


@dataclass
class RecordingTransport:
    """A transport that records what it sends, and whether it was sent completely; responses count upwards."""

    carried: list[list[bytes]] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    answers: Callable[[int], int] = lambda number: number

    def __call__(self, request: OutgoingRequest, /) -> HttpReply:
        """Record the request, as far as its content is sent."""
        self.carried.append([])
        self.whole.append(False)
        self.carried[-1].extend(bytes(piece) for piece in request.content())
        self.whole[-1] = True
        return HttpReply(request.url, 200, SOAP % self.answers(len(self.carried)))


def request(operation: str) -> OutgoingRequest:
    """Return a request in three pieces."""

    def content() -> Iterator[bytes]:
        yield BODY[:100]
        yield BODY[100:7000]
        yield BODY[7000:]

    return OutgoingRequest("http://server/", f"{DSP}/{operation}", {"Content-Length": str(len(BODY))}, content)


def test_a_cut_image_is_half_an_image_and_then_a_whole_one() -> None:
    """T-M5: broken off in the middle; the same bytes again, so the same MessageID."""
    road = RecordingTransport()
    InterruptingTransport(road)(request("SendImage"))
    cut, sent = (b"".join(one) for one in road.carried)

    assert road.whole == [False, True]
    assert cut == BODY[: len(BODY) // 2]
    assert sent == BODY


def test_a_device_that_hangs_up_has_said_everything() -> None:
    """DSP-083: to the last byte, and nobody takes the answer; then the same bytes again."""
    for operation in ("CreatePostScanJob", "SendImage", "EndPostScanJob"):
        road = RecordingTransport()
        DisconnectingTransport(road)(request(operation))

        assert road.whole == [False, True]
        assert [b"".join(one) for one in road.carried] == [BODY, BODY]


def test_a_slow_device_sends_many_pieces() -> None:
    """T-H2: each of them small, and all of them in the end."""
    road = RecordingTransport()
    SlowTransport(road, 0.0)(request("SendImage"))

    assert len(road.carried[0]) >= PIECES
    assert max(map(len, road.carried[0])) <= len(BODY) // PIECES + 1
    assert b"".join(road.carried[0]) == BODY


def test_a_device_that_repeats_itself_compares_the_answers() -> None:
    """DSP-083: the same bytes twice, and the first answer counts."""
    same, other = RecordingTransport(answers=lambda _number: 1), RecordingTransport()
    faithful, faithless = RepeatingTransport(same), RepeatingTransport(other)

    assert faithful(request("EndPostScanJob")).data == SOAP % 1
    assert faithless(request("EndPostScanJob")).data == SOAP % 1
    assert [b"".join(one) for one in same.carried] == [BODY, BODY]
    assert [(one.count, one.differed) for one in (faithful, faithless)] == [(1, 0), (1, 1)]


@pytest.mark.parametrize(
    ("mode", "operation", "times"),
    [
        (InterruptingTransport, "EndPostScanJob", 1),
        (lambda road: SlowTransport(road, 0.0), "EndPostScanJob", 1),
        (DisconnectingTransport, "GetPostScanJobElements", 1),
        (RepeatingTransport, "GetPostScanJobElements", 2),
    ],
)
def test_what_is_no_part_of_the_bad_manner_goes_as_ever(
    mode: Callable[[Transport], Transport], operation: str, times: int
) -> None:
    """Only images are cut and dripped; a question may have another answer the second time."""
    road = RecordingTransport()
    transport = mode(road)
    transport(request(operation))

    assert road.carried == [[BODY[:100], BODY[100:7000], BODY[7000:]]] * times
    assert not isinstance(transport, RepeatingTransport) or transport.count == 0


def test_a_server_that_hangs_up_first_is_asked_again() -> None:
    """It may have had enough of half an image before the device has."""
    road, calls = RecordingTransport(), []

    def impatient(request: OutgoingRequest) -> HttpReply:
        calls.append(request)
        if len(calls) == 1:
            raise Unreachable("closed")
        return road(request)

    assert InterruptingTransport(impatient)(request("SendImage")).status == 200
    assert b"".join(road.carried[0]) == BODY


# --- what the command says of servers ----------------------------------------------------------------------------


@pytest.fixture
def host() -> Iterator[Hosted]:
    """A server that tells no events."""
    with hosting() as host:
        yield host


@pytest.fixture
def scan(postscan: Run, host: Hosted) -> Run:
    """Run the device with files, and the process of the demo."""
    process = ("--process", GUID, "--process-file", ARCHIVE)
    return lambda *arguments: postscan("device", f"127.0.0.1:{host.port}", *arguments, *process)


def test_every_misbehaviour_is_on_the_page_that_explains_them(postscan: Run) -> None:
    """The list of names that needs no import, the table, and the help are one."""
    help = postscan("device", "--help").stdout

    assert tuple(misbehaviour.MISBEHAVIOURS) == command.MISBEHAVIOURS
    for name, one in misbehaviour.MISBEHAVIOURS.items():
        assert re.search(rf"^ +{name} +{one.about}$", help, re.MULTILINE)


def test_a_server_that_lets_strangers_in_is_found_out(scan: Run, host: Hosted, page: Path) -> None:
    """DSP-050, T-O4 from the other side: exit code 1, and what it did."""
    result = scan(page, "--misbehave", "foreign-token")

    assert result.exit_code == 1
    assert result.stdout.count("BAD ") == 4
    assert "it was accepted" in result.stdout


def test_a_server_that_refuses_strangers_for_another_reason_is_found_out(scan: Run, host: Hosted, page: Path) -> None:
    """DSP-050 from the other side: the right fault, and no other."""
    for operation in ("SendImage", "EndPostScanJob", "CancelPostScanJob", *POLLS):
        host.says[operation] = lambda _: fault("dsp:InvalidArgs")
    result = scan(page, "--misbehave", "foreign-token")

    assert result.exit_code == 1
    assert result.stdout.count("BAD ") == 4


def test_a_server_that_refuses_strangers_is_praised(scan: Run, host: Hosted, page: Path) -> None:
    """Exit code 0, and each refusal as a assessment."""
    for operation in ("SendImage", "EndPostScanJob", "CancelPostScanJob", *POLLS):
        host.says[operation] = lambda _: fault("dsp:ClientErrorJobTokenNotFound")
    assessments = json.loads(scan(page, "--misbehave", "foreign-token", "--json").stdout)["misbehaviours"]

    assert [(one["name"], one["good"]) for one in assessments] == [("foreign-token", True)] * 4
    assert misbehaviour.UNKNOWN_JOB.encode() in host.asked[-1].data


def test_a_server_that_answers_a_repeated_message_otherwise_is_found_out(scan: Run, host: Hosted, page: Path) -> None:
    """DSP-083 from the other side: a second job for the same message is a second answer."""
    tokens = iter([TOKEN, OTHER_TOKEN])
    host.says["CreatePostScanJob"] = lambda _: f"<dsp:R><dsp:JobToken>{next(tokens)}</dsp:JobToken></dsp:R>"
    host.polled("Completed")
    result = scan(page, "--misbehave", "duplicate")
    ids = [one.message_id for one in host.asked if one.operation not in ("Probe", "Get")]

    assert result.exit_code == 1
    assert "1 of 3 second responses differed from the first" in result.stdout
    assert ids[0::2] == ids[1::2]
    assert len(set(ids)) == len(ids) // 2


def test_a_server_that_loses_a_page_is_found_out(scan: Run, host: Hosted, page: Path) -> None:
    """DSP-032 from the other side: two pages were sent, and it counts one."""
    host.polled("Completed")
    result = scan(page, page, "--misbehave", "slow", "--pause", "0")

    assert result.exit_code == 1
    assert "BAD   the job ends Completed, with each of its images once (2): Completed" in result.stdout


def test_a_server_that_tells_no_events_is_found_out(
    scan: Run, host: Hosted, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DSP-063 from the other side."""
    monkeypatch.setattr(misbehaviour, "DELIVERY_SECONDS", 0.1)
    host.says["EndPostScanJob"] = lambda _: "<dsp:EndPostScanJobResponse/>"
    host.polled("Completed")
    result = scan(page, "--misbehave", "refuse")

    assert result.exit_code == 1
    assert "BAD   the server tries to deliver the events: it had tried 0 times so far" in result.stdout


def test_all_can_be_played_at_once() -> None:
    """And a name that comes twice is played once."""
    assert command._misbehaviours(["all"]) == command.MISBEHAVIOURS
    assert command._misbehaviours(["slow", "cut", "slow"]) == ("slow", "cut")
