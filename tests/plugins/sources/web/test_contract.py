"""The contract of sources, with a client that puts files: in processes that are killed and refused at each step."""

from __future__ import annotations

import contextlib
import http.client
import socket

import pytest
import source_server

from postscan.plugins.sources.web import Web
from postscan.plugins.testing import Origin, assert_source_contract

CUTS = 12
"""The campaign cuts at 200 bytes."""

SECONDS = 20.0


class Puts(Origin):
    """Puts each page under a name of its own, and the last one again."""

    def __init__(self, port: int, *, chunked: bool) -> None:
        self._port = port
        self._chunked = chunked
        self._number = 0
        self._page = b""
        self._status = 0

    def bring(self, page: bytes) -> None:
        """Put a page."""
        self._number += 1
        self._page, self._status = page, 0
        self.again()

    def cut(self, page: bytes, size: int) -> None:
        """Put a page, and close the connection within it."""
        self._number += 1
        self._page, self._status = page, 0
        with contextlib.suppress(OSError), source_server.connected(self._port) as connection:
            length = "Transfer-Encoding: chunked" if self._chunked else f"Content-Length: {len(page)}"
            head = f"PUT /d1/{self._number}.png HTTP/1.1\r\nHost: test\r\n{length}\r\n\r\n".encode()
            chunk = b"%x\r\n%b\r\n" % (size, page[:size]) if size else b""
            connection.sendall(head + (chunk if self._chunked else page[:size]))

    def again(self) -> None:
        """Put the last page under the same name."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SECONDS)
        body = iter([self._page]) if self._chunked else self._page
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.sock = source_server.connected(self._port)
            connection.request("PUT", f"/d1/{self._number}.png", body, encode_chunked=self._chunked)
            self._status = connection.getresponse().status

    def acknowledged(self) -> bool:
        """Return whether the last response was a success."""
        return 200 <= self._status < 300


@pytest.fixture
def port() -> int:
    """A port that was free."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        number: int = listener.getsockname()[1]
        return number


@pytest.mark.parametrize("chunked", [False, True])
def test_the_contract_is_kept(port: int, chunked: bool) -> None:
    """By files with a length and in chunks."""
    origin = Puts(port, chunked=chunked)
    settings = {"port": port}

    assert_source_contract(Web(), origin, settings=settings, cuts=CUTS, devices=("127.0.0.1",), seconds=60.0)
