"""Requests that wait on their connection: for the response to the one before, and for turns to be parsed and served."""

from __future__ import annotations

import asyncio
import math

import pytest
import virtual_time
from acceptance.rawhttp import Line
from held_turns import HeldTurns
from memory_transport import ASKED, Application, Wire, linked, turns

from postscan.soap.http.connections import Connections
from postscan.soap.http.framing import PIECE
from postscan.soap.http.protocol import SMALL, ConnectionLimits, protocol

WSDL = b"/ScanServer/processing?wsdl"


def held_back(held: HeldTurns) -> tuple[Wire, Application, asyncio.Protocol]:
    """Return both sides of a connection whose turns are held, and the protocol between them."""
    return linked(protocol(ConnectionLimits(head_seconds=1, idle_seconds=1), held))


def test_requests_sent_ahead_are_answered_in_their_order(line: Line) -> None:
    """T-H3: one after another, however many there are."""
    known, unknown = (b"GET %s HTTP/1.1\r\nHost: test\r\n\r\n" % path for path in (WSDL, WSDL + b"&x"))
    line.send(known * 20 + unknown + known)

    assert [line.answer().status for _ in range(21)] == [200] * 20 + [405]
    assert line.is_closed()


def test_a_request_is_parsed_when_the_one_before_it_has_its_response() -> None:
    """T-H3: until then its bytes wait, and no more are read."""

    async def talk() -> None:
        wire, application, made = linked()
        made.data_received(ASKED * 3)
        for served in (1, 2, 3):
            await turns()
            assert application.requests == served
            assert wire.is_paused == (served < 3)
            application.may_answer.release()
        await turns()
        assert wire.written.count(b"HTTP/1.1 204") == 3
        assert not wire.is_closing()

    asyncio.run(talk())


def test_a_request_waits_for_a_turn() -> None:
    """T-H4: so does the next one on its connection; no deadline ends them meanwhile."""
    held = HeldTurns()

    async def talk() -> None:
        wire, application, made = held_back(held)
        made.data_received(ASKED * 2)
        for served in (1, 2):
            await asyncio.sleep(5)
            assert (application.requests, len(held.waiting)) == (served - 1, 1)
            held.give()
            application.may_answer.release()
            await turns()
            assert application.requests == served
        assert wire.written.count(b"HTTP/1.1 204") == 2
        assert held.waiting == []

    virtual_time.run(talk())


def test_a_request_whose_connection_is_closing_is_not_begun() -> None:
    """T-H4: the rest of it was refused while it waited for its turn."""
    held = HeldTurns()

    async def talk() -> None:
        wire, application, made = held_back(held)
        made.data_received(ASKED)
        wire.close()
        held.give()
        await turns()
        assert application.requests == 0

    asyncio.run(talk())


def test_a_request_is_being_served_from_its_turn_until_its_client_stops_reading() -> None:
    """T-H4: else its connection may make room for a client that has fewer."""
    held = HeldTurns()

    async def talk() -> None:
        _, application, made = held_back(held)
        place = Connections(1, 1).admit("192.0.2.1")
        assert place is not None
        made.place = place
        found = []
        steps = (lambda: made.data_received(ASKED), held.give, made.pause_writing, made.resume_writing)
        for step in steps:
            step()
            found.append(place.is_served)
        application.may_answer.release()
        await turns()
        assert [*found, place.is_served] == [False, True, False, True, False]

    asyncio.run(talk())


CHUNKED = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
SMALL_CHUNKS = b"1\r\nx\r\n" * 20_000
KNOWN = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "data", "waits"),
    [
        (KNOWN % 100_000, b"x", True),
        (KNOWN % 100_000, bytes(SMALL + 1), False),
        (KNOWN % 10, b"x" * 10 + ASKED * 1000, True),
        (CHUNKED, b"1\r\n", True),
        (CHUNKED, b"%x\r\n" % (SMALL * 4) + bytes(SMALL * 4), True),
    ],
    ids=["a small read", "a large read", "a small rest of the body", "a part of a chunk", "a large chunk"],
)
def test_small_reads_and_chunks_wait_for_a_turn(head: bytes, data: bytes, *, waits: bool) -> None:
    """T-H4, T-H5: else a client could let many requests have their turns, and then send the rest of all."""
    held = HeldTurns()

    async def talk() -> None:
        wire, _, made = held_back(held)
        made.data_received(head)
        held.give()
        made.data_received(data)
        assert (len(held.waiting), wire.is_paused) == (waits, waits)
        if waits:
            held.give()
        assert held.waiting == []

    asyncio.run(talk())


def test_small_chunks_are_parsed_in_turns() -> None:
    """T-H5: other connections are served between them, and no more is read meanwhile."""

    async def talk() -> None:
        wire, application, made = linked()
        made.data_received(CHUNKED)
        made.data_received(SMALL_CHUNKS + b"0\r\n\r\n")
        assert wire.is_paused
        await turns()
        application.may_answer.release()
        await turns()
        assert not wire.is_paused
        assert wire.written.count(b"HTTP/1.1 204") == 1

    asyncio.run(talk())


def test_bytes_that_take_long_to_parse_wait_for_turns() -> None:
    """T-H4, T-H5: chunks of a byte each; no more are read meanwhile."""
    held = HeldTurns()

    async def talk() -> None:
        wire, _, made = held_back(held)
        made.data_received(CHUNKED)
        held.give()
        made.data_received(SMALL_CHUNKS)
        given = 0
        while held.waiting:
            assert wire.is_paused
            await asyncio.sleep(5)
            held.give()
            given += 1
        assert given == math.ceil(len(SMALL_CHUNKS) / PIECE)
        assert not wire.is_paused

    virtual_time.run(talk())


def test_line_breaks_before_a_request_wait_for_turns() -> None:
    """T-H4: each costs as much as a chunk."""
    held = HeldTurns()

    async def talk() -> None:
        wire, _, made = held_back(held)
        made.data_received(b"\r\n" * 4000)
        assert (len(held.waiting), wire.is_paused) == (1, True)
        while held.waiting:
            held.give()
        assert not wire.is_paused
        made.data_received(ASKED)
        assert len(held.waiting) == 1

    asyncio.run(talk())


def test_a_connection_that_closes_takes_no_turn() -> None:
    """T-H4: neither for a request nor for bytes that it sent before."""
    held = HeldTurns()

    async def talk() -> None:
        _, _, made = held_back(held)
        made.data_received(CHUNKED)
        made.data_received(SMALL_CHUNKS)
        assert len(held.waiting) == 2
        made.connection_lost(None)
        assert held.waiting == []

    virtual_time.run(talk())
