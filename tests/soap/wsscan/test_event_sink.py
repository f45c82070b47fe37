"""The endpoint for events: what it refuses, and how soon it answers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import device_events
import pytest
from lxml import etree
from works import until

from postscan.soap.wsscan.event_sink import (
    ANSWER_SECONDS,
    BODY_BYTES,
    CONNECTIONS_PER_ADDRESS,
    EVENTS,
    EventSink,
    SinkUnavailable,
)
from postscan.soap.wsscan.messages import envelope

PATH = "0123456789abcdef"


class Receiver:
    """Takes what comes from one address."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.address = address
        self.paths: list[str] = []
        self.actions: list[str] = []
        self.has_room = True
        self.hold = threading.Event()
        self.hold.set()

    def admits(self, address: str) -> bool:
        """Return whether it is that address."""
        return address == self.address

    def receive(self, path: str, root: etree._Element) -> bool:
        """Keep what came."""
        self.hold.wait(20)
        self.paths.append(path)
        self.actions.append(envelope.action_of(root))
        return self.has_room


@pytest.fixture
def log() -> list[str]:
    """What the sink has logged."""
    return []


@pytest.fixture
def receiver() -> Receiver:
    """A device at the loopback address."""
    return Receiver()


@contextlib.contextmanager
def sinking(receiver: Receiver, log: list[str], answer: str = "empty") -> Iterator[tuple[EventSink, str]]:
    """Run a sink with one path; yield it and the URL."""
    made: EventSink = EventSink(answer=answer, log=lambda text, *_, **fields: log.append(f"{text} {fields}"))  # type: ignore[arg-type]
    with made as sink:
        port = sink.listen("127.0.0.1")
        sink.add(PATH, receiver)
        yield sink, f"http://127.0.0.1:{port}/wsd/{PATH}"


@pytest.fixture
def url(receiver: Receiver, log: list[str]) -> Iterator[str]:
    """The URL of a running sink with one path."""
    with sinking(receiver, log) as (_sink, url):
        yield url


EVENT = device_events.press("context", "1", "urn:x")


@pytest.mark.conformance("WSS-025")
def test_an_event_is_answered_202_without_a_body(url: str, receiver: Receiver) -> None:
    """As DPWS prescribes."""
    assert device_events.post(url, EVENT) == (202, b"")
    assert receiver.paths == [PATH]


def test_a_device_that_wants_soap_gets_an_empty_body_that_relates(receiver: Receiver, log: list[str]) -> None:
    """With the setting."""
    message_id = "urn:uuid:11111111-2222-4333-8444-555555555555"
    with sinking(receiver, log, "soap") as (_sink, url):
        status, body = device_events.post(url, device_events.press("c", "1", "urn:x", message_id=message_id))

    root = etree.fromstring(body)
    assert status == 200
    assert root.findtext(".//{*}RelatesTo") == message_id
    assert len(root.find("{*}Body")) == 0  # type: ignore[arg-type]


@pytest.mark.conformance("WSS-026")
@pytest.mark.parametrize("path", ["/", "/wsd/", "/wsd/0123456789abcdee", "/wsd", "/wsd/0123456789abcdef/other", "//"])
def test_other_paths_are_not_found(url: str, receiver: Receiver, path: str) -> None:
    """Whatever they contain."""
    origin = url.partition("/wsd/")[0]

    assert device_events.post(origin + path, EVENT) == (404, b"")
    assert receiver.paths == []


@pytest.mark.conformance("WSS-026")
@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
def test_other_methods_are_not_found(url: str, receiver: Receiver, method: str) -> None:
    """A path says nothing of itself."""
    assert device_events.post(url, b"", method=method)[0] == 404
    assert receiver.paths == []


@pytest.mark.conformance("WSS-026")
def test_another_address_than_the_device_is_not_found(url: str, receiver: Receiver, log: list[str]) -> None:
    """The same answer as to an unknown path; it is logged once in a minute for each address."""
    for _ in range(3):
        assert device_events.post(url, EVENT, source="127.0.0.2") == (404, b"")

    assert receiver.paths == []
    assert len(log) == 1
    assert "127.0.0.2" in log[0]


def test_events_of_the_end_have_the_same_receiver(url: str, receiver: Receiver) -> None:
    """EndTo is below the path."""
    assert device_events.post(f"{url}/end", EVENT)[0] == 202
    assert receiver.paths == [PATH]


def test_a_removed_path_is_not_found(receiver: Receiver, log: list[str]) -> None:
    """After its subscription."""
    with sinking(receiver, log) as (sink, url):
        sink.remove(PATH)

        assert device_events.post(url, EVENT)[0] == 404


def test_an_event_without_room_is_refused(url: str, receiver: Receiver) -> None:
    """The device reports that at its panel."""
    receiver.has_room = False

    assert device_events.post(url, EVENT)[0] == 503


@pytest.mark.conformance("WSS-072")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no xml",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b"<a>" * 100 + b"</a>" * 100,
        b"\xff\xfe<",
        b'<?xml version="1.0" encoding="ibm037"?><a/>',
    ],
)
def test_a_message_that_is_none_is_refused(url: str, receiver: Receiver, data: bytes) -> None:
    """With the limits of the parser."""
    assert device_events.post(url, data)[0] == 400
    assert receiver.paths == []


def test_a_large_body_is_refused(url: str, receiver: Receiver) -> None:
    """Whether its length is announced or not."""
    assert device_events.post(url, b" " * (BODY_BYTES + 1))[0] == 413
    assert receiver.paths == []


def test_a_body_that_does_not_come_is_given_up(url: str, receiver: Receiver) -> None:
    """After some seconds (T-A6)."""
    began = time.monotonic()
    with device_events.begun(url, 100) as connection:
        connection.sendall(b"<")
        head = connection.recv(100)

    assert head.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 10.0
    assert receiver.paths == []


@pytest.mark.conformance("WSS-025")
def test_an_answer_does_not_wait_for_a_slow_disk(url: str, receiver: Receiver) -> None:
    """It comes within a second, and the event is taken later."""
    receiver.hold.clear()
    began = time.monotonic()

    assert device_events.post(url, EVENT) == (202, b"")
    assert ANSWER_SECONDS - 0.1 < time.monotonic() - began < 1.0
    receiver.hold.set()
    until(lambda: receiver.paths == [PATH])


def test_a_device_that_sends_too_many_events_is_slowed_down(url: str, receiver: Receiver) -> None:
    """The rest is refused, and nothing waits in memory."""
    answers = [device_events.post(url, EVENT)[0] for _ in range(EVENTS + 5)]

    assert answers == [202] * EVENTS + [503] * 5
    assert len(receiver.paths) == EVENTS


def test_one_address_has_few_connections(url: str) -> None:
    """Others get theirs."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(device_events.begun(url, 10)) for _ in range(CONNECTIONS_PER_ADDRESS)]
        with pytest.raises(OSError), device_events.begun(url, 10) as one:
            one.settimeout(5)
            if not one.recv(10):
                raise ConnectionResetError

        assert device_events.post(url, EVENT, source="127.0.0.3")[0] == 404
    assert len(opened) == CONNECTIONS_PER_ADDRESS


def test_an_event_for_a_receiver_that_fails_is_answered(url: str, receiver: Receiver, log: list[str]) -> None:
    """A defect ends neither the sink nor the connection."""
    receiver.paths = None  # type: ignore[assignment]

    assert device_events.post(url, EVENT)[0] == 500
    assert "not processed" in log[-1]
    receiver.paths = []
    assert device_events.post(url, EVENT)[0] == 202


def test_it_listens_once_for_all_devices_at_an_address(receiver: Receiver, log: list[str]) -> None:
    """And at a port of the settings beside it."""
    with sinking(receiver, log) as (sink, url):
        port = int(url.split(":")[2].split("/")[0])

        assert sink.listen("127.0.0.1") == port
        assert sink.listen("127.0.0.1", port) == port
        assert sink.listen("127.0.0.2") != 0


def test_a_port_that_is_taken_is_named(receiver: Receiver, log: list[str]) -> None:
    """With the reason."""
    with sinking(receiver, log) as (sink, _url), socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SinkUnavailable, match=str(port)):
            sink.listen("127.0.0.1", port)


def test_the_end_closes_everything(receiver: Receiver, log: list[str]) -> None:
    """Also a connection that waits for a body."""
    with sinking(receiver, log) as (_sink, url):
        waiting = device_events.begun(url, 10)
        assert device_events.post(url, EVENT)[0] == 202, "connections are accepted in their order"
    with waiting:
        waiting.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert waiting.recv(100) == b""
    with pytest.raises(OSError):
        device_events.post(url, EVENT)
