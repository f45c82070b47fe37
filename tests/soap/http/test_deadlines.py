"""How long a client may take: to send a head, to begin the next request, and to read a response."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import virtual_time
from acceptance.rawhttp import Line, connected
from acceptance.scanning import assert_bare
from acceptance.server import Server, running
from memory_transport import ASKED, Application, Wire, linked, turns
from works import until

from postscan.soap.http.protocol import ConnectionLimits, protocol
from postscan.soap.http.turns import LoopTurns

WSDL = b"/ScanServer/processing?wsdl"


# --- with a server ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that gives a head one second, and an unread response one."""
    settings = {"server": {"port": 0, "head_seconds": 1, "write_seconds": 1}}
    with running(tmp_path_factory.mktemp("deadlines"), settings) as server:
        yield server
    assert server.tracebacks() == []


def test_a_connection_on_which_nothing_is_said_ends(line: Line) -> None:
    """T-H1."""
    assert_bare(line.answer(), 408)
    assert line.is_closed()


def test_a_head_that_drips_is_not_waited_for(line: Line) -> None:
    """T-H1: the deadline is one for the whole head; a byte now and then does not move it."""
    begin = time.monotonic()
    head = line.head("Content-Length: 0", path="/" + "x" * 400)
    for at in range(0, len(head), 1):
        if time.monotonic() - begin > 1.5:
            break
        line.send(head[at : at + 1])
        time.sleep(0.02)

    assert_bare(line.answer(), 408)
    assert line.is_closed()


def test_a_client_that_reads_no_response_is_disconnected(server: Server) -> None:
    """T-H3: when the responses no longer fit into the buffers of both systems."""
    process = psutil.Process(server.pid)
    with connected(server.url, receives=4096) as line:
        mine = line.address()

        def is_open() -> bool:
            return any(one.raddr == mine for one in process.net_connections("tcp"))

        line.send((b"GET " + WSDL + b" HTTP/1.1\r\nHost: test\r\n\r\n") * 1000)
        until(line.has_answered, "for the connection to be accepted")
        until(lambda: not is_open(), "for the server to hang up")


# --- without a server ------------------------------------------------------------------------------------------------


def test_a_request_makes_no_timer() -> None:
    """One timer looks at the deadlines of all connections; else each request makes and cancels three."""

    async def talk() -> list[float]:
        loop, timers = asyncio.get_running_loop(), []
        make = loop.call_at

        def counted(when: float, *rest: Any, **options: Any) -> asyncio.TimerHandle:
            timers.append(when)
            return make(when, *rest, **options)

        loop.call_at = counted  # type: ignore[method-assign]  # the real one, watched
        for _ in range(3):
            wire, application, made = linked(shared)
            made.data_received(ASKED * 5)
            for _ in range(5):
                application.may_answer.release()
            await turns()
            assert wire.written.count(b"HTTP/1.1 204") == 5
            lines.append(made)
        return timers

    lines: list[Any] = []
    shared = protocol(ConnectionLimits(head_seconds=10, idle_seconds=10), LoopTurns())

    assert len(virtual_time.run(talk())) == 1


async def answered(wire: Wire, application: Application, made: Any, request: bytes = ASKED) -> None:
    """Send a request, and let it be answered."""
    before = wire.written.count(b"HTTP/1.1 204")
    made.data_received(request)
    application.may_answer.release()
    await turns()
    assert wire.written.count(b"HTTP/1.1 204") == before + 1


def test_the_second_head_on_a_connection_has_a_deadline_too() -> None:
    """T-H1."""

    async def talk() -> None:
        wire, application, made = linked(protocol(ConnectionLimits(head_seconds=1, idle_seconds=10), LoopTurns()))
        await answered(wire, application, made)
        made.data_received(b"POST /x HTTP/1.1\r\nHost")
        await asyncio.sleep(0.9)
        assert not wire.is_closing()
        await asyncio.sleep(0.4)

        assert wire.is_closing()
        assert b"HTTP/1.1 408" in wire.written

    virtual_time.run(talk())


def test_a_connection_between_two_requests_is_kept_for_a_while() -> None:
    """T-H1: longer than a head may take, and not for ever."""

    async def talk() -> None:
        wire, application, made = linked(protocol(ConnectionLimits(head_seconds=1, idle_seconds=2), LoopTurns()))
        for _ in range(3):
            await answered(wire, application, made)
            await asyncio.sleep(1.8)
            assert not wire.is_closing()
        await asyncio.sleep(1.0)

        assert wire.is_closing()

    virtual_time.run(talk())


BLANK = {
    "line breaks": (b"", b"\r\n"),
    "the rest of an answered request": (b"Content-Length: 100000\r\n", b"x"),
}


@pytest.mark.parametrize(("field", "data"), BLANK.values(), ids=BLANK)
def test_only_a_request_keeps_a_connection(field: bytes, data: bytes) -> None:
    """T-H1: whatever else arrives, the time of an idle connection counts from the end of the last response."""

    async def talk() -> None:
        wire, application, made = linked(protocol(ConnectionLimits(head_seconds=1, idle_seconds=2), LoopTurns()))
        await answered(wire, application, made, b"GET / HTTP/1.1\r\nHost: test\r\n" + field + b"\r\n")
        for _ in range(50):
            assert not wire.is_closing() or asyncio.get_running_loop().time() >= 2
            made.data_received(data)
            await asyncio.sleep(0.05)

        assert wire.is_closing()

    virtual_time.run(talk())


def test_the_deadlines_end_with_the_last_connection() -> None:
    """A server without connections wakes for none, and for a new one again."""

    async def talk() -> None:
        shared = protocol(ConnectionLimits(head_seconds=1, idle_seconds=10), LoopTurns())
        wire, _, made = linked(shared)
        made.connection_lost(None)
        await asyncio.sleep(5)
        assert wire.written == b""

        wire, _, made = linked(shared)
        await asyncio.sleep(0.9)
        assert not wire.is_closing()
        await asyncio.sleep(0.7)
        assert wire.is_closing()
        assert wire.written.startswith(b"HTTP/1.1 408")

    virtual_time.run(talk())


def test_connections_that_begin_together_end_one_by_one() -> None:
    """T-H4: a thousand that end at once, and whose clients connect again, let no other request be served meanwhile."""

    async def talk() -> None:
        shared = protocol(ConnectionLimits(head_seconds=10, idle_seconds=10), LoopTurns())
        wires = [linked(shared)[0] for _ in range(100)]
        await asyncio.sleep(10)
        assert not any(wire.is_closing() for wire in wires)
        await asyncio.sleep(1.25)
        assert 20 < sum(wire.is_closing() for wire in wires) < 80
        await asyncio.sleep(1.5)
        assert all(wire.is_closing() for wire in wires)

    virtual_time.run(talk())


def test_an_idle_connection_ends_without_a_word() -> None:
    """T-H1: by its own deadline, whatever the others do."""

    async def talk() -> None:
        shared = protocol(ConnectionLimits(head_seconds=1, idle_seconds=3), LoopTurns())
        idle, application, made = linked(shared)
        made.data_received(ASKED)
        application.may_answer.release()
        await turns()
        for _ in range(3):
            await asyncio.sleep(0.9)
            linked(shared)
        assert not idle.is_closing()
        await asyncio.sleep(1.4)

        assert idle.is_closing()
        assert idle.written.count(b"HTTP/1.1") == 1

    virtual_time.run(talk())
