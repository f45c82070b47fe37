"""DSP-002, DSP-058, DSP-062 to DSP-068: what a device hears of its jobs when it has subscribed."""

from __future__ import annotations

import contextlib
import itertools
import socket
import sqlite3
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
import subscriptions as said
from acceptance.scanning import Scanner, Status, good, instructions
from acceptance.server import Server
from conformance import events
from conformance.events import ACTIONS, BLOCKS, END, STATUS, Told, canonical, subscribed, to_the_end, told
from conformance.wire import STRANGER, creation, dsp, query
from device import DSP, SOAP_TYPE, WSA
from listeners import Listener
from works import until

from postscan.soap.eventing import pending_creates

ENDINGS = {
    "Completed": ("copy", "copy"),
    "Aborted": ("fail OutOfDiskSpace", "copy"),
    "Canceled": ("sleep 60", "copy"),
    "given up": ("copy", "copy"),
}
"""How a job can end, and filters with which it does."""

STATES = {
    "Completed": ["Creating", "Pending", "Started", "Processing", "Completed"],
    "Aborted": ["Creating", "Pending", "Started", "Processing", "Aborted"],
    "Canceled": ["Creating", "Pending", "Started", "Processing", "Terminating", "Canceled"],
    "given up": ["Creating", "Canceled"],
}
"""The states that such a job goes through: a filter that runs is stopped first, and nothing has to be in Creating."""

CREATES = 16
"""Each behind an answer of some 400,000 octets: more than any socket holds."""


@pytest.fixture
def sink(scanner: Scanner) -> Iterator[Listener]:
    """A sink that hears of all jobs of the device."""
    with Listener() as sink, subscribed(scanner.device, sink):
        yield sink


def lived(scanner: Scanner, ending: str) -> str:
    """Let a job live and end in that way; return its token."""
    if ending == "given up":
        token = scanner.create(*ENDINGS[ending])
        good(scanner.device.cancel(token))
        return token
    token = scanner.start(*ENDINGS[ending])
    if ending == "Canceled":
        scanner.server.works.await_trace(token, "sleep")
        good(scanner.device.cancel(token))
    scanner.ended(token)
    return token


def changes(heard: list[Told]) -> list[str]:
    """Return the states of the status events, each once where it follows itself."""
    return [state for state, _ in itertools.groupby(one.state for one in heard if one.name == STATUS)]


@pytest.mark.conformance("DSP-002")
def test_both_events_are_emitted(scanner: Scanner, sink: Listener) -> None:
    """Each under its action, with the body that goes with it."""
    heard = to_the_end(sink, lived(scanner, "Completed"))

    assert {(one.action, one.event.tag) for one in heard} == {
        (f"{DSP}/PostScanJobStatusEvent", dsp("PostScanJobStatusEvent")),
        (f"{DSP}/PostScanJobEndStateEvent", dsp("PostScanJobEndStateEvent")),
    }
    assert {tuple(child.tag for child in one.event) for one in heard} == {
        (dsp("JobStatus"),),
        (dsp("PostScanJobEndState"),),
    }


@pytest.mark.conformance("DSP-058")
@pytest.mark.parametrize("ending", ENDINGS)
def test_events_have_a_filter_status_for_each_filter(scanner: Scanner, sink: Listener, ending: str) -> None:
    """From the first event of a job to the last, also if no filter was ever to run."""
    for one in to_the_end(sink, lived(scanner, ending)):
        (statuses,) = one.event.iter(dsp("FilterStatuses" if one.name == STATUS else "FilterCompletedStatuses"))
        dialects = [f"urn:acme:{asked.split()[0]}" for asked in ENDINGS[ending]]

        assert [status.findtext(dsp("Dialect")) for status in statuses.iterfind(dsp("FilterStatus"))] == dialects


@pytest.mark.conformance("DSP-062")
@pytest.mark.parametrize("ending", ENDINGS)
def test_only_events_of_a_finished_job_have_the_time_of_its_end(scanner: Scanner, sink: Listener, ending: str) -> None:
    """The last status and the end-state event have the same, and it is what the device is told when it asks."""
    token = lived(scanner, ending)
    *before, last, end = to_the_end(sink, token)
    asked = good(scanner.device.elements(token)).find("JobCompletedTime")

    assert asked
    assert [one.texts("JobCompletedTime") for one in (*before, last, end)] == [[]] * len(before) + [[asked]] * 2


@pytest.mark.conformance("DSP-063")
@pytest.mark.parametrize("ending", ENDINGS)
def test_there_is_a_status_event_at_creation_and_at_every_change(scanner: Scanner, sink: Listener, ending: str) -> None:
    """No state is left out, none is told too early."""
    heard = to_the_end(sink, lived(scanner, ending))

    assert heard[0].name == STATUS
    assert changes(heard) == STATES[ending]


@pytest.mark.conformance("DSP-063")
def test_matching_subscribers_hear_it_and_others_do_not(scanner: Scanner, server: Server) -> None:
    """D23: all that the device has made; of the two with a filter each its event; a stranger hears of its own job."""
    status, end = ACTIONS["dsp"]
    stranger = Scanner(server, STRANGER)
    with contextlib.ExitStack() as stack:
        everything, again, statuses, ends = (stack.enter_context(Listener()) for _ in range(4))
        stranger_s = stack.enter_context(Listener(address=STRANGER))
        for listener, more in ((everything, ()), (again, ()), (statuses, (events.only(status),))):
            stack.enter_context(subscribed(scanner.device, listener, *more))
        stack.enter_context(subscribed(scanner.device, ends, events.only(end)))
        stack.enter_context(subscribed(stranger.device, stranger_s))
        token, own = lived(scanner, "Completed"), lived(stranger, "Completed")
        whole = [(one.name, one.state, one.filters) for one in to_the_end(everything, token)]
        to_the_end(again, token), to_the_end(ends, token), to_the_end(stranger_s, own)
        until(lambda: [one.state for one in told(statuses, token)][-1:] == ["Completed"])

        assert [(one.name, one.state, one.filters) for one in told(again, token)] == whole
        assert [(one.name, one.state, one.filters) for one in told(statuses, token)] == whole[:-1]
        assert [(one.name, one.state, one.filters) for one in told(ends, token)] == whole[-1:]
        assert {one.token for one in told(stranger_s)} == {own}
        assert own not in {one.token for one in told(everything)}


@pytest.mark.conformance("DSP-064")
def test_there_is_a_status_event_when_a_filter_changes(scanner: Scanner, sink: Listener) -> None:
    """While the state of the job stays the same."""
    heard = to_the_end(sink, lived(scanner, "Completed"))

    assert [one.filters for one in heard if one.state == "Processing"] == [
        ["Processing", "Pending"],
        ["CompletedSuccessfully", "Pending"],
        ["CompletedSuccessfully", "Processing"],
        ["CompletedSuccessfully", "CompletedSuccessfully"],
    ]


@pytest.mark.conformance("DSP-065")
@pytest.mark.parametrize("ending", ENDINGS)
def test_there_is_one_end_state_event_after_the_last_status(scanner: Scanner, sink: Listener, ending: str) -> None:
    """Nothing comes after it, not even when the device asks, or tries to cancel; it says what the last status says."""
    token = lived(scanner, ending)
    scanner.device.cancel(token)
    scanner.device.end(token)
    to_the_end(sink, token)
    to_the_end(sink, lived(scanner, "given up"))  # events come in their order: nothing of the other is to come
    *_, last, end = heard = told(sink, token)
    status: Status = scanner.status(token)

    assert [one.name for one in heard] == [STATUS] * (len(heard) - 1) + [END]
    assert len([one for one in sink.heard if token.encode() in one]) == len(heard)
    assert last.state == end.state == status.state == STATES[ending][-1]
    assert last.texts("JobStateReason") == end.texts("JobStateReason") == [*status.reasons]
    assert last.filters == end.filters == [*status.filters]


@contextlib.contextmanager
def reluctant(scanner: Scanner, *requests: bytes) -> Iterator[socket.socket]:
    """Send requests on one connection, one behind the other; what is sent back finds hardly any room."""
    there = urlsplit(scanner.device.url)
    head = f"POST {there.path} HTTP/1.1\r\nHost: {there.netloc}\r\nContent-Type: {SOAP_TYPE}\r\nContent-Length: "
    with socket.socket() as connection:
        connection.settimeout(60)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((there.hostname, there.port))
        for request in requests[:-1]:
            connection.sendall(f"{head}{len(request)}\r\n\r\n".encode() + request)
        connection.sendall(f"{head}{len(requests[-1])}\r\nConnection: close\r\n\r\n".encode() + requests[-1])
        yield connection


@pytest.mark.conformance("DSP-066")
def test_no_event_comes_before_the_answer_to_the_create(scanner: Scanner, server: Server) -> None:
    """The device does not read. When its socket is full, an answer has to wait, and so has the event of that job."""
    asked, full, stranger = instructions("copy"), scanner.create("copy"), Scanner(server, STRANGER)
    scanner.send(full, *range(1, 41), size=10)
    large = query(scanner.device, full, "<dsp:Name>dsp:Documents</dsp:Name>" * 64)
    creates = [creation(scanner.device, server.store(asked), asked) for _ in range(CREATES)]
    before = made(server)
    with contextlib.ExitStack() as stack:
        sink, other = stack.enter_context(Listener()), stack.enter_context(Listener(address=STRANGER))
        stack.enter_context(subscribed(scanner.device, sink))
        stack.enter_context(subscribed(stranger.device, other))
        connection = stack.enter_context(reluctant(scanner, *(one for create in creates for one in (large, create))))

        def is_stuck() -> bool:
            so_far = made(server)
            for _ in range(2):  # whoever could be told of the first one has been told when the second one ends
                to_the_end(other, lived(stranger, "given up"))
            return so_far == made(server) != before

        until(is_stuck, "for the socket to be full")
        *_, waiting = jobs = made(server)[len(before) :]
        told_before = {one.token for one in told(sink)}
        is_overdue = age(server, waiting) >= pending_creates.TIMEOUT  # an answer that is not read counts as sent then
        while connection.recv(1 << 20):
            """Read on until the server hangs up: then it has answered them all."""
        until(lambda: told(sink, waiting), "for the event")

        assert len(jobs) < CREATES
        assert told_before <= ({*jobs} if is_overdue else {*jobs} - {waiting})
        assert [one.state for one in told(sink, waiting)] == ["Creating"]


def age(server: Server, token: str) -> float:
    """Return how many seconds ago a job was made."""
    return (datetime.now(UTC) - server.works.core.store.load(token).created).total_seconds()


def made(server: Server) -> list[str]:
    """Return the tokens of all jobs that the device has made, in order."""
    with contextlib.closing(sqlite3.connect(server.settings.storage.data_dir / "postscan.sqlite")) as database:
        found = database.execute("select token from job where owner = 'device:127.0.0.1' order by created")
        return [token for (token,) in found]


@pytest.mark.conformance("DSP-067")
def test_each_subscriber_hears_of_a_job_in_order(scanner: Scanner, server: Server, sink: Listener) -> None:
    """Of three jobs at once, however slow it is: the states in the order of the commits, filters only onwards."""

    def slow() -> int:
        time.sleep(0.03)
        return 202

    with Listener(slow) as slow_one, subscribed(scanner.device, slow_one):
        tokens = [scanner.start("copy", "copy", "copy") for _ in range(3)]
        for token in tokens:
            to_the_end(sink, token), to_the_end(slow_one, token)
            written = [event for event in server.works.core.store.events(token) if event.kind == "JobStateChanged"]

            for heard in (told(sink, token), told(slow_one, token)):
                assert changes(heard) == [event.fields["state"] for event in written]
                done = [one.filters.count("CompletedSuccessfully") for one in heard]
                assert (done, done[-1]) == (sorted(done), 3)


@pytest.mark.conformance("DSP-068")
def test_the_reference_parameters_of_the_sink_come_as_headers(scanner: Scanner) -> None:
    """With both events, as they were given: attributes, children and texts, in their order; To is the address."""
    with Listener() as sink, subscribed(scanner.device, sink, blocks=BLOCKS + said.BLOCK):
        heard = to_the_end(sink, lived(scanner, "given up"))
        wanted = ET.fromstring(f'<x xmlns:wse="{said.WSE}">{BLOCKS}{said.BLOCK}</x>')

    assert {one.name for one in heard} == {STATUS, END}
    assert [one.blocks() for one in heard] == [[canonical(block) for block in wanted]] * len(heard)
    assert {one.header.findtext(f"{{{WSA}}}To") for one in heard} == {sink.url}
