"""The head of a request: how large it may be, how long it may take, and what happens to bytes that are no HTTP.

Real connections to a real server: these tests fail if a new uvicorn calls its protocol's methods in another way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from acceptance.rawhttp import Line, connected
from acceptance.server import Server, running
from device import Answer

HEAD_BYTES = 16 * 1024
HEAD_FIELDS = 100
NOWHERE = "/nothing/here"
MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that gives a head one second, and an idle connection two."""
    settings = {"server": {"port": 0, "head_seconds": 1, "idle_seconds": 2}}
    with running(tmp_path_factory.mktemp("head"), settings) as server:
        yield server
    assert "Traceback" not in server.log()


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    """A connection."""
    with connected(server.url) as line:
        yield line


def assert_bare(answer: Answer, status: int) -> None:
    """Fail unless an answer is nothing but this status (threats, fault and status rules)."""
    assert (answer.status, answer.body) == (status, b"")
    assert answer.headers["connection"] == "close"
    assert "server" not in answer.headers


def fields_of(total: int) -> list[str]:
    """Return a field that makes the head of a request to nowhere exactly *total* bytes, as they are counted."""
    size = len(NOWHERE) + sum(len(name) + len(value) + 4 for name, value in USUAL)
    return [f"X: {'x' * (total - size - len('X') - 4)}"]


USUAL = (("Host", "test"), ("Content-Type", "application/soap+xml; charset=utf-8"))


# --- size ------------------------------------------------------------------------------------------------------------


LARGE = {
    "one huge field": ["X-Large: " + "x" * (HEAD_BYTES + 1)],
    "one byte too many": fields_of(HEAD_BYTES + 1),
    "one field too many": [f"X-{number}: x" for number in range(HEAD_FIELDS - 1)],
    "many small fields": [f"X-{number}: {'x' * 200}" for number in range(90)],
    "a megabyte": ["X-Large: " + "x" * MIB],
}


@pytest.mark.parametrize("fields", LARGE.values(), ids=LARGE)
def test_a_head_that_is_too_large_is_refused(line: Line, fields: list[str]) -> None:
    """T-H8: 431, and the connection ends; the application never hears of it."""
    line.send(line.head(*fields, path=NOWHERE))

    assert_bare(line.answer(), 431)
    assert line.is_closed()


@pytest.mark.parametrize(
    "fields",
    [fields_of(HEAD_BYTES), [f"X-{number}: x" for number in range(HEAD_FIELDS - 3)] + ["Content-Length: 0"]],
    ids=["bytes", "fields"],
)
def test_a_head_may_be_as_large_as_the_limits(line: Line, fields: list[str]) -> None:
    """T-H8: it reaches the application, which knows no such path."""
    line.send(line.head(*fields, path=NOWHERE))

    assert line.answer().status == 404


def test_a_request_line_that_is_too_long_is_refused(line: Line) -> None:
    """T-H8: it counts as part of the head."""
    line.send(line.head(path="/" + "x" * HEAD_BYTES))

    assert_bare(line.answer(), 431)


def test_a_head_that_never_becomes_complete_is_refused_as_soon_as_it_is_too_large(line: Line) -> None:
    """T-H1, T-H8: no line break has come yet."""
    line.send(b"POST / HTTP/1.1\r\nX: ")
    for _ in range(40):
        line.send(b"x" * 1000)

    assert_bare(line.answer(), 431)
    assert line.is_closed()


def test_the_second_head_on_a_connection_is_counted_anew(line: Line) -> None:
    """T-H8: neither more nor less than the first."""
    for _ in range(3):
        line.send(line.head(*fields_of(HEAD_BYTES - 100), "Content-Length: 0"))
        assert line.answer().status == 400
    line.send(line.head(*fields_of(HEAD_BYTES + 1000), path=NOWHERE))

    assert_bare(line.answer(), 431)


ENDLESS = {
    "trailer fields": b"0\r\n" + b"X-Trailer: x\r\n" * 80_000,
    "one trailer field": b"0\r\nX-Trailer: " + b"x" * MIB,
    "an extension of a chunk": b"1;" + b"x" * MIB,
    "digits of a chunk": b"0" * MIB,
}


@pytest.mark.parametrize("endless", ENDLESS.values(), ids=ENDLESS)
def test_what_stands_around_chunks_counts_as_well(server: Server, line: Line, endless: bytes) -> None:
    """T-H5: fields may also follow a chunked body; nothing without end is kept in memory."""
    server.forget_peak_memory()
    before = server.peak_memory()
    line.send(line.head("Transfer-Encoding: chunked") + b"2\r\n<x\r\n" + endless)

    assert line.answer().status in (400, 431)
    assert line.is_closed()
    assert server.peak_memory() - before < 32 * MIB


# --- time ------------------------------------------------------------------------------------------------------------


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


def test_the_second_head_on_a_connection_has_a_deadline_too(line: Line) -> None:
    """T-H1."""
    line.send(line.head("Content-Length: 0"))
    assert line.answer().status == 400
    line.send(b"POST /x HTTP/1.1\r\nHost")

    assert_bare(line.answer(), 408)


def test_a_connection_between_two_requests_is_kept_for_a_while(line: Line) -> None:
    """T-H1: longer than a head may take, and not for ever."""
    for _ in range(2):
        line.send(line.head("Content-Length: 0"))
        assert line.answer().status == 400
        time.sleep(1.2)
    line.send(line.head("Content-Length: 0"))

    assert line.answer().status == 400
    assert line.is_closed()


# --- framing ---------------------------------------------------------------------------------------------------------


SECOND = b"GET /second HTTP/1.1\r\nHost: test\r\n\r\n"
HIDDEN = b"0\r\n\r\n" + SECOND
FRAMING = {
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two lengths": b"{head}Content-Length: 5\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a length and chunks": b"{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HIDDEN,
    "chunks and a length": b"{head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + HIDDEN,
    "an unknown encoding": b"{head}Transfer-Encoding: xchunked\r\n\r\n" + HIDDEN,
    "chunked is not the last": b"{head}Transfer-Encoding: chunked, identity\r\n\r\n" + HIDDEN,
    "a negative length": b"{head}Content-Length: -1\r\n\r\n" + SECOND,
    "a length with a sign": b"{head}Content-Length: +5\r\n\r\n" + HIDDEN,
    "a length of 2^64": b"{head}Content-Length: 18446744073709551616\r\n\r\n" + SECOND,
    "a length that is none": b"{head}Content-Length: 5x\r\n\r\n" + HIDDEN,
    "a blank before the colon": b"{head}Transfer-Encoding : chunked\r\n\r\n" + HIDDEN,
    "a folded field": b"{head}X: a\r\n Content-Length: 5\r\n\r\n" + SECOND,
    "a bare line feed": b"{head}X: a\nContent-Length: 5\r\n\r\n" + SECOND,
    "NUL in a field": b"{head}X: a\0b\r\n\r\n" + SECOND,
    "a carriage return in a field": b"{head}X: a\rb\r\n\r\n" + SECOND,
    "a chunk size that is none": b"{head}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n" + HIDDEN,
    "a negative chunk size": b"{head}Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n" + HIDDEN,
    "a chunk size of 2^64": b"{head}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + HIDDEN,
    "a chunk that is longer than it says": b"{head}Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n" + HIDDEN,
    "a field without a name": b"{head}: x\r\n\r\n" + SECOND,
}


@pytest.mark.parametrize("request_bytes", FRAMING.values(), ids=FRAMING)
def test_a_request_whose_end_is_not_certain_is_the_last(line: Line, request_bytes: bytes) -> None:
    """T-H5: one answer, and what may be hidden behind it is never executed."""
    head = line.head(path=NOWHERE).removesuffix(b"\r\n")
    line.send(request_bytes.replace(b"{head}", head))
    answer = line.answer()

    assert answer.status == 400
    assert b"second" not in answer.body
    assert line.is_closed()
