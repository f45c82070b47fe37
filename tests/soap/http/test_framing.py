"""Where requests end: whatever the cuts, no piece goes beyond the end of a request."""

from __future__ import annotations

import httptools
from hypothesis import given
from hypothesis import strategies as st

from postscan.soap.http.framing import PIECE, RequestCutter

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
