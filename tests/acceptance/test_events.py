"""What subscribers hear of jobs, over the wire, from a real server: everything, in order, once or again the same."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator

import commands
import pytest
import subscriptions as said
from acceptance.scanning import Scanner, good, refusal
from acceptance.server import Server, running
from listeners import Listener, summary
from lxml import etree
from schemas import assert_valid
from works import until

DSP = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSE = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
EVENTS = {"deadline_seconds": 300, "most_per_caller": 1000}
SETTINGS = {"events": EVENTS}
IMPATIENT = {"events": EVENTS, "limits": {"silence_seconds": 2}}

Heard = tuple[str, str, tuple[str, ...], int]
"""An event: its name, the state of the job, those of its filters, and the images that it had."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits for a hanging sink as long as the whole test."""
    with running(tmp_path_factory.mktemp("events"), SETTINGS) as server:
        yield server
    assert server.tracebacks() == []


@pytest.fixture
def scanner(server: Server) -> Scanner:
    """A device at 127.0.0.1."""
    return Scanner(server)


@pytest.fixture
def sink(scanner: Scanner) -> Iterator[Listener]:
    """A subscriber of that device."""
    with Listener() as sink:
        subscribe(scanner, sink)
        yield sink


def subscribe(scanner: Scanner, sink: Listener) -> None:
    """Let a sink hear of the device's jobs."""
    wanted = said.subscribe(said.delivery(said.endpoint("NotifyTo", sink.url)), said.filter_())
    good(scanner.device.post(said.envelope("Subscribe", wanted)))


def of_job(sink: Listener, token: str) -> list[bytes]:
    """Return the messages about a job in the order of arrival; one that came again is the same, and counts once."""
    messages: dict[str, bytes] = {}
    for message in list(sink.heard):
        about, id = _addressed(message)
        if about == token:
            assert messages.setdefault(id, message) == message
    return list(messages.values())


@functools.cache  # a test that waits for an event reads all that came before it again and again
def _addressed(message: bytes) -> tuple[str, str]:
    """Return the job that a message is about, and its MessageID; fail if no schema allows it."""
    root = assert_valid(message)
    return root.findtext(f".//{{{DSP}}}JobToken") or "", root.findtext(f".//{{{WSA}}}MessageID") or ""


def heard(sink: Listener, token: str) -> list[Heard]:
    """Return what a sink was told of a job."""
    return [_read(message) for message in of_job(sink, token)]


def to_the_end(sink: Listener, token: str) -> list[Heard]:
    """Wait for the end-state event of a job; return what was told until then."""
    until(lambda: any(one[0] == "EndStateEvent" for one in heard(sink, token)))
    return heard(sink, token)


@functools.cache
def _read(message: bytes) -> Heard:
    body = etree.fromstring(message)[1][0]
    names = {etree.QName(one).localname: one.text or "" for one in body.iter()}
    filters = tuple(one.text or "" for one in body.iter(f"{{{DSP}}}FilterState"))
    state = names.get("JobState") or names["JobCompletedState"]
    return etree.QName(body).localname.removeprefix("PostScanJob"), state, filters, int(names["ImagesReceived"])


def status(state: str, *filters: str, images: int = 1) -> Heard:
    """Return a status event as it is expected."""
    return "StatusEvent", state, filters, images


def end(state: str, *filters: str, images: int = 1) -> Heard:
    """Return an end-state event as it is expected."""
    return "EndStateEvent", state, filters, images


def test_a_whole_job_is_told_from_its_first_state_to_its_end(scanner: Scanner, sink: Listener) -> None:
    """DSP-063 to DSP-065: each change of the job and of its filters; the images in between are no events."""
    token = scanner.create("copy", "copy")
    scanner.send(token, 1, 2, 3)
    good(scanner.device.end(token))

    assert to_the_end(sink, token) == [
        status("Creating", "Pending", "Pending", images=0),
        status("Pending", "Pending", "Pending", images=3),
        status("Started", "Pending", "Pending", images=3),
        status("Processing", "Processing", "Pending", images=3),
        status("Processing", "CompletedSuccessfully", "Pending", images=3),
        status("Processing", "CompletedSuccessfully", "Processing", images=3),
        status("Processing", "CompletedSuccessfully", "CompletedSuccessfully", images=3),
        status("Completed", "CompletedSuccessfully", "CompletedSuccessfully", images=3),
        end("Completed", "CompletedSuccessfully", "CompletedSuccessfully", images=3),
    ]


def test_the_last_status_is_what_the_device_is_told_when_it_asks(scanner: Scanner, sink: Listener) -> None:
    """One truth, two ways to hear of it."""
    token = scanner.start("copy")
    to_the_end(sink, token)
    asked = etree.fromstring(good(scanner.device.elements(token)).body).find(f".//{{{DSP}}}JobStatus")
    told = etree.fromstring(of_job(sink, token)[-2]).find(f".//{{{DSP}}}JobStatus")

    assert asked is not None
    assert told is not None
    assert etree.tostring(told, method="c14n", exclusive=True) == etree.tostring(asked, method="c14n", exclusive=True)


def test_a_canceled_job_is_told_to_be_terminating_and_then_canceled(scanner: Scanner, sink: Listener) -> None:
    """Not a word of Canceled before the filter has stopped."""
    token = scanner.start("sleep 60", "copy")
    until(lambda: status("Processing", "Processing", "Pending") in heard(sink, token))
    good(scanner.device.cancel(token))

    assert to_the_end(sink, token)[-5:] == [
        status("Processing", "Processing", "Pending"),
        status("Terminating", "Processing", "Pending"),
        status("Terminating", "Canceled", "Pending"),
        status("Canceled", "Canceled", "Canceled"),
        end("Canceled", "Canceled", "Canceled"),
    ]


def test_an_aborted_job_is_told_with_the_filter_that_failed(scanner: Scanner, sink: Listener) -> None:
    """DSP-069: the next one is canceled."""
    token = scanner.start("fail", "copy")

    assert to_the_end(sink, token)[-3:] == [
        status("Processing", "CompletedWithErrors", "Pending"),
        status("Aborted", "CompletedWithErrors", "Canceled"),
        end("Aborted", "CompletedWithErrors", "Canceled"),
    ]
    assert b"PostScanJobProcessingFailed" in of_job(sink, token)[-1]


def test_a_job_that_fell_silent_is_told_to_have_timed_out(tmp_path_factory: pytest.TempPathFactory) -> None:
    """DSP-071: D4. The device sends no image: it could be slower than the silence that the server bears."""
    with running(tmp_path_factory.mktemp("silent"), IMPATIENT) as server, Listener() as sink:
        scanner = Scanner(server)
        subscribe(scanner, sink)
        token = scanner.create("copy")

        assert to_the_end(sink, token) == [
            status("Creating", "Pending", images=0),
            status("Aborted", "Canceled", images=0),
            end("Aborted", "Canceled", images=0),
        ]
        assert b"PostScanJobTimedOut" in of_job(sink, token)[-1]


def test_a_sink_that_hangs_keeps_nothing_from_the_others(scanner: Scanner, sink: Listener) -> None:
    """T-A6, F-R18: it is still hanging when the other has heard everything of job after job."""
    with Listener("hang") as hanging:
        subscribe(scanner, hanging)
        tokens = [scanner.start("copy") for _ in range(5)]
        whole = [to_the_end(sink, token) for token in tokens]

        assert [events[-1] for events in whole] == [end("Completed", "CompletedSuccessfully")] * 5
        assert len(hanging.heard) == 1


def test_no_event_is_lost_when_the_server_is_killed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """I27, I28: none is out of order, and what comes again is the same to the byte."""
    with running(tmp_path_factory.mktemp("killed"), SETTINGS) as server, Listener() as sink:
        subscribe(Scanner(server), sink)
        tokens = []
        for _ in range(4):
            scanner = Scanner(server)
            tokens += [scanner.start("sleep 0.3", "copy") for _ in range(3)]
            until(lambda: any(one[1] == "Processing" for one in heard(sink, tokens[-3])))  # noqa: B023
            server.kill()
            server.start()
        for token in tokens:
            to_the_end(sink, token)

        for token in tokens:
            told = heard(sink, token)
            assert [one for one in told if one[0] == "EndStateEvent"] == told[-1:]
            assert _without_repeats([one[1] for one in told[:-1]]) == _states(server, token)


def _states(server: Server, token: str) -> list[str]:
    """Return the states that a job went through, as the database has them."""
    events = server.works.core.store.events(token)
    return [one.fields["state"] for one in events if one.kind == "JobStateChanged"]


def _without_repeats(states: list[str]) -> list[str]:
    return [state for state, before in zip(states, ["", *states], strict=False) if state != before]


def test_a_foreign_device_hears_nothing(server: Server, sink: Listener) -> None:
    """D23, T-A4, I29: it has its own jobs, and its own events."""
    stranger = Scanner(server, "127.0.0.9")
    token = stranger.start("copy")
    stranger.ended(token)
    own = Scanner(server).start("copy")
    to_the_end(sink, own)

    assert not any(re.search(token.encode(), message) for message in sink.heard)


def postscan(server: Server, *arguments: str) -> str:
    """Run a command on the data of the server, as its administrator does, and return what it prints."""
    return commands.run(["--config", str(server.home / "postscan.toml"), *arguments], check=True).stdout


def test_a_subscription_that_an_administrator_ends_is_over_for_its_subscriber(server: Server) -> None:
    """dpws.md section 8.3, T-A4: the sink hears why, and then nothing; who asks is told that there is none."""
    scanner = Scanner(server, "127.0.0.3")
    with Listener(address="127.0.0.3") as ended, Listener(address="127.0.0.3") as other:
        subscribe(scanner, other)
        end_to = said.endpoint("EndTo", ended.url)
        wanted = said.subscribe(end_to, said.delivery(said.endpoint("NotifyTo", ended.url)))
        granted = etree.fromstring(good(scanner.device.post(said.envelope("Subscribe", wanted))).body)
        id = granted.findtext(f".//{{{WSE}}}Identifier") or ""
        to_the_end(ended, scanner.start("copy"))

        listed = {one["id"]: one for one in json.loads(postscan(server, "subscriptions", "list", "--json"))}
        assert listed[id.removeprefix("urn:uuid:")]["notify_to"] == ended.url
        ended_by_hand = postscan(server, "subscriptions", "end", id)
        assert ended_by_hand == "ended; the server sends SubscriptionEnd to the subscriber\n"
        refused = scanner.device.post(said.envelope("GetStatus", "<wse:GetStatus/>", said.identifier(id)))
        until(lambda: summary(ended.heard[-1])[0] == "SubscriptionEnd")
        heard_before = len(ended.heard)
        to_the_end(other, scanner.start("copy"))

        assert refusal(refused).subcode == "wse:InvalidMessage"
        assert summary(ended.heard[-1]) == ("SubscriptionEnd", f"{WSE}/SourceCancelling")
        assert assert_valid(ended.heard[-1]).findtext(f".//{{{WSE}}}SubscriptionManager//{{{WSE}}}Identifier") == id
        assert len(ended.heard) == heard_before
