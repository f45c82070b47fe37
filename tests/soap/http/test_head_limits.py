"""The head of a request: how large it may be, and what counts as part of it."""

from __future__ import annotations

import pytest
from acceptance.rawhttp import Line
from acceptance.scanning import assert_bare
from acceptance.server import Server

HEAD_BYTES = 16 * 1024
HEAD_FIELDS = 100
NOWHERE = "/nothing/here"
MIB = 1 << 20
USUAL = (("Host", "test"), ("Content-Type", "application/soap+xml; charset=utf-8"))


def fields_of(total: int) -> list[str]:
    """Return a field that makes the head of a request to nowhere exactly *total* bytes, as they are counted."""
    size = len(NOWHERE) + sum(len(name) + len(value) + 4 for name, value in USUAL)
    return [f"X: {'x' * (total - size - len('X') - 4)}"]


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


def test_a_request_line_that_is_too_large_is_refused_without_any_field(line: Line) -> None:
    """T-H8: HTTP/1.0 needs none, so its line is all of the head."""
    line.send(b"GET /" + b"x" * HEAD_BYTES + b" HTTP/1.0\r\n\r\n")

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
