"""Where requests end: no piece goes beyond the end of a request, and one whose end is not certain is the last."""

from __future__ import annotations

import httptools
import pytest
from acceptance.rawhttp import Line
from hypothesis import given
from hypothesis import strategies as st

from postscan.soap.http.framing import PIECE, RequestCutter

# --- pieces of bytes -------------------------------------------------------------------------------------------------


REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab\r\n\r\ncde",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
)


class Reader:
    """Reads requests as the server does, and notes the ones that a piece completes."""

    def __init__(self) -> None:
        self.ended = 0
        self._length = 0
        self._cutter = RequestCutter()
        self._parser = httptools.HttpRequestParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the length of the body."""
        if name == b"Content-Length":
            self._length = int(value)

    def on_headers_complete(self) -> None:
        """Tell the cutter the length of the body."""
        self._cutter.expect(self._length)
        self._length = 0

    def on_message_complete(self) -> None:
        """Count the request."""
        self.ended += 1

    def feed(self, data: bytes) -> list[int]:
        """Return how many requests each piece of the data completes."""
        at, pieces = 0, []
        while at < len(data):
            before, end = self.ended, self._cutter.cut(data, at)
            assert end > at
            self._parser.feed_data(data[at:end])
            pieces.append(self.ended - before)
            at = end
        return pieces


@given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=8), st.lists(st.integers(1, 40), max_size=40))
def test_a_piece_completes_one_request_at_most(requests: list[bytes], sizes: list[int]) -> None:
    """T-H5: and all of them are completed, however the network cuts the bytes."""
    data, reader = b"".join(requests), Reader()
    completed: list[int] = []
    for size in [*sizes, len(data)]:
        chunk, data = data[:size], data[size:]
        completed += reader.feed(chunk)

    assert max(completed) <= 1
    assert reader.ended == len(requests)


def test_a_body_of_known_length_is_one_piece() -> None:
    """Images are large, and a piece costs time."""
    reader = Reader()
    reader.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 250000\r\n\r\n")

    assert reader.feed(b"\r\n\r\n" * 62_500) == [1]


def test_other_pieces_are_short() -> None:
    """T-H5: a chunk of one byte costs as much as one of a thousand."""
    reader = Reader()
    reader.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")

    assert len(reader.feed(b"1\r\nx\r\n" * PIECE)) == 6


# --- requests to a server --------------------------------------------------------------------------------------------


NOWHERE = "/nothing/here"
SECOND = b"GET /second HTTP/1.1\r\nHost: test\r\n\r\n"
HIDDEN = b"0\r\n\r\n" + SECOND
FRAMING = {
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two lengths": b"{head}Content-Length: 5\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a length and chunks": b"{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HIDDEN,
    "chunks and a length": b"{head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + HIDDEN,
    "two encodings": b"{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + HIDDEN,
    "no host": b"POST /nothing HTTP/1.1\r\n\r\n" + SECOND,
    "two hosts": b"{head}Host: test\r\n\r\n" + SECOND,
    "a host that is none": b"POST /nothing HTTP/1.1\r\nHost: a b\r\n\r\n" + SECOND,
    "a host with a user": b"POST /nothing HTTP/1.1\r\nHost: a@b\r\n\r\n" + SECOND,
    "chunks in HTTP/1.0": b"POST /nothing HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + HIDDEN,
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


@pytest.mark.parametrize("coding", ["xchunked", "gzip, chunked", "identity", "chunked, chunked"])
def test_an_unknown_transfer_coding_is_not_implemented(line: Line, coding: str) -> None:
    """T-H5: RFC 9112 section 6.1; what is not decoded is not read as something else."""
    line.send(line.head(f"Transfer-Encoding: {coding}", path=NOWHERE) + HIDDEN)
    answer = line.answer()

    assert answer.status in (400, 501)
    assert line.is_closed()


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("Content-Length: 11", b"<Envelope/>"),
        ("Transfer-Encoding: chunked", b"5\r\n<Enve\r\n6\r\nlope/>\r\n0\r\n\r\n"),
    ],
    ids=["of known length", "in chunks"],
)
def test_an_offer_of_another_protocol_is_ignored(line: Line, field: str, body: bytes) -> None:
    """RFC 9110 section 7.8: clients of Java send one with each request to http. T-H5: its body is no other request."""
    for offer in ((), ("Connection: Upgrade", "Upgrade: h2c")) * 2:
        line.send(line.head(*offer, field) + body)
        answer = line.answer()
        assert (answer.status, b"VersionMismatch" in answer.body) == (500, True)


def test_an_offer_of_another_protocol_without_a_body_is_ignored(line: Line) -> None:
    """The next request on the connection is served as well."""
    for _ in range(2):
        line.send(line.head("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 0"))
        assert line.answer().status == 400


@pytest.mark.parametrize("method", ["CONNECT", "PRI"])
def test_a_method_that_ends_http_is_not_implemented(line: Line, method: str) -> None:
    """T-H5: the parser takes all that follows for something else; what is hidden there is never executed."""
    hidden = line.head(path="/second")
    line.send(
        b"%s /first HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % (method.encode(), len(hidden)) + hidden
    )

    assert line.answer().status in (400, 501)
    assert line.is_closed()
