"""The source's side of the socket: what the server may send, and what ends it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from works import PATIENCE, until

from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.source import messages
from postscan.core.filters.source.connection import PULLS, InletConnection
from postscan.core.filters.source.context import SourceContext
from postscan.core.filters.source.errors import Busy, Ended, Refused
from postscan.core.filters.source.messages import (
    Destination,
    DestinationsChanged,
    EndRequest,
    InletStarted,
    InletStop,
    JobOpened,
    LeaveRequest,
    PullRequest,
    RequestDone,
    RequestLate,
)
from postscan.core.filters.source.ticket import ScanTicket
from postscan.core.model.json_lines import LONGEST, BadMessage

OPEN = {"key": "k", "destination": "d", "proof": "device", "subject": "10.0.0.9"}
STARTED = InletStarted(
    plugin="p", inlet="i", settings={}, destinations=(), folder=Path("/folder"), workdir=Path("/workdir"), requests=8
)


class Pair:
    """A connection, and the other end of its socket."""

    def __init__(self) -> None:
        self.server, theirs = socket.socketpair()
        self.connection = InletConnection(theirs)
        self.lines = self.server.makefile("rb")

    def send(self, *messages_: messages.ServerMessage) -> None:
        """Send as the server."""
        self.server.sendall(b"".join(map(messages.write, messages_)))

    def receive(self) -> messages.SourceMessage:
        """Receive as the server."""
        return messages.read_source(self.lines.readline())

    def close(self) -> None:
        """Close both ends."""
        self.connection.close()
        self.lines.close()
        self.server.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connection that has not begun."""
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture
def begun(pair: Pair) -> Pair:
    """A connection that has begun."""
    pair.send(STARTED)
    assert pair.connection.receive_start() == STARTED
    pair.connection.listen()
    return pair


def in_thread(pair: Pair, *arguments: object, **fields: object) -> list[object]:
    """Ask in a thread; return a list that will have the reply or the error, and then the thread."""
    got: list[object] = []

    def ask() -> None:
        try:
            got.append(pair.connection.ask(*arguments, **fields))  # type: ignore[arg-type]
        except Exception as error:
            got.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return [got, thread]


def test_a_server_that_has_gone_before_the_start_starts_nothing(pair: Pair) -> None:
    """The worker just ends."""
    pair.server.shutdown(socket.SHUT_RDWR)

    assert pair.connection.receive_start() is None


def test_something_else_in_front_of_the_start_is_no_start(pair: Pair) -> None:
    """A mistake of the server, which is not guessed at."""
    pair.send(InletStop())
    with pytest.raises(BadMessage, match="expected the start of an inlet, got stop"):
        pair.connection.receive_start()


@pytest.mark.parametrize(
    "bytes_",
    [b"{}\n", b"x" * 10 + b"\n", messages.write(STARTED), b"[" * (LONGEST + 10) + b"\n"],
    ids=["no type", "no JSON", "a second start", "too long"],
)
def test_what_is_no_message_of_the_server_ends_the_source(begun: Pair, bytes_: bytes) -> None:
    """T-S7: as if the server had gone, since nothing behind it can be trusted."""
    feeding = threading.Thread(target=lambda: begun.server.sendall(bytes_), daemon=True)
    feeding.start()

    assert begun.connection.stopping.wait(PATIENCE)
    assert begun.connection.gone
    with pytest.raises(Busy):
        begun.connection.open(**OPEN)


def test_replies_may_come_in_another_order(begun: Pair) -> None:
    """Each thread gets its own; one that nothing waits for is passed over."""
    first, first_thread = in_thread(begun, LeaveRequest, job="one", bytes=1)
    one = begun.receive()
    second, second_thread = in_thread(begun, EndRequest, job="two")
    two = begun.receive()
    begun.send(
        RequestDone(id=10_000),
        RequestLate(id=two.id, reason="cancelled"),  # type: ignore[union-attr]
        RequestDone(id=one.id),  # type: ignore[union-attr]
    )
    first_thread.join(PATIENCE)  # type: ignore[attr-defined]
    second_thread.join(PATIENCE)  # type: ignore[attr-defined]

    assert first == [RequestDone(id=one.id)]  # type: ignore[union-attr]
    assert isinstance(second[0], Ended)  # type: ignore[index]


def test_a_cancel_right_behind_the_opening_is_not_missed(begun: Pair) -> None:
    """The token exists before the thread that opened the job has read the reply."""
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.extend(begun.connection.open(**OPEN)))
    thread.start()
    asked = begun.receive()
    begun.send(
        JobOpened(id=asked.id, job="one"),  # type: ignore[union-attr]
        messages.JobCancelled(job="one", reason="at once"),
        messages.JobCancelled(job="of another time"),
    )
    thread.join(PATIENCE)
    job, source = got

    assert job == "one"
    assert source.wait(PATIENCE)  # type: ignore[attr-defined]
    assert source.token().reason == "at once"  # type: ignore[attr-defined]
    begun.connection.forget("one")


def test_a_text_that_is_too_long_is_refused_before_it_is_sent(begun: Pair) -> None:
    """With the name of the field, and nothing of what it holds."""
    with pytest.raises(Refused, match="account: String should have at most 2048 characters"):
        begun.connection.open(**OPEN, account="x" * 3000)


def test_pulls_that_nothing_takes_are_dropped(begun: Pair) -> None:
    """A source that is busy with one gets no queue without end."""
    for number in range(PULLS + 5):
        begun.send(PullRequest(destination=str(number)))
    begun.send(InletStop())
    assert begun.connection.stopping.wait(PATIENCE)

    assert [begun.connection.next_pull() for _ in range(PULLS)] == [str(number) for number in range(PULLS)]


def test_the_tickets_of_the_destinations_are_those_that_the_server_has_sent_last(pair: Pair) -> None:
    """A source that looks a destination up when a scan begins asks for what is stored now."""
    destination = Destination(id="d1", label="Invoices")
    changed = destination.model_copy(update={"ticket": ScanTicket(images=3)})
    pair.send(STARTED.model_copy(update={"destinations": (destination,)}))
    started = pair.connection.receive_start()
    assert started
    with CancelSource() as stop:
        inlet = SourceContext(pair.connection, started, None, stop.token())
        first = inlet.destination("Invoices")
        pair.connection.listen()
        pair.send(DestinationsChanged(destinations=(changed,)))
        until(lambda: inlet.destination("Invoices") == changed)

    assert first == destination
