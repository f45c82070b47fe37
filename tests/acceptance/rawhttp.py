"""HTTP by hand: for requests that no client library would send."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit

from device import SOAP_TYPE, Answer


class Line:
    """One connection to the server, and the path of its service."""

    def __init__(self, connection: socket.socket, path: str) -> None:
        self._connection = connection
        self._heard = connection.makefile("rb")
        self._path = path

    def send(self, data: bytes) -> Self:
        """Send bytes as they are; the server may have hung up already."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.sendall(data)
        return self

    def head(self, *fields: str, method: str = "POST", path: str = "", content_type: str = SOAP_TYPE) -> bytes:
        """Return the head of a request with these fields beside Host and Content-Type."""
        lines = [f"{method} {path or self._path} HTTP/1.1", "Host: test", f"Content-Type: {content_type}", *fields]
        return "\r\n".join([*lines, "", ""]).encode()

    def answer(self) -> Answer:
        """Read the next answer."""
        status = self._heard.readline().split()
        assert status, "the server hung up without an answer"
        headers = {name.lower(): value for name, value in http.client.parse_headers(self._heard).items()}
        return Answer(int(status[1]), headers, self._heard.read(int(headers["content-length"])))

    def bytes(self, number: int) -> bytes:
        """Read this many bytes, or fewer if the server hangs up."""
        return self._heard.read(number)

    def address(self) -> tuple[str, int]:
        """Return the client's own end."""
        host, port = self._connection.getsockname()[:2]
        return host, port

    def has_answered(self) -> bool:
        """Return whether the server has sent something, or has hung up; nothing is read."""
        return bool(select.select([self._connection], [], [], 0)[0])

    def has_hung_up(self) -> bool:
        """Return whether the server has hung up; what it says is not read."""
        try:
            return self.has_answered() and self._connection.recv(1, socket.MSG_PEEK) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        """Hang up."""
        self._heard.close()
        self._connection.close()

    def is_closed(self) -> bool:
        """Wait until the server hangs up; return False if it says something instead."""
        try:
            return self._heard.read(1) == b""
        except ConnectionResetError:
            return True


@contextlib.contextmanager
def connected(url: str, address: str = "127.0.0.1", *, receives: int = 0) -> Iterator[Line]:
    """Connect to the server, as the device at *address* that buffers so many bytes (0: as the system does)."""
    parts = urlsplit(url)
    connection = socket.socket()
    if receives:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    connection.settimeout(60)
    connection.bind((address, 0))
    connection.connect((parts.hostname, parts.port or 80))
    with contextlib.closing(Line(connection, parts.path)) as line:
        yield line
