"""A connection of an unkind client: asyncio streams that are bound to an address, and what is sent by hand."""

from __future__ import annotations

import asyncio
import contextlib
import re
import select
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from device import SOAP_TYPE

_SECONDS: Final = 30.0
_READ_AHEAD: Final = 1 << 16


@dataclass(frozen=True)
class Target:
    """The server: the address of its processing service, and how to speak TLS to it, if it does."""

    url: str
    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None

    @classmethod
    def at(cls, url: str, ca: str) -> Self:
        """Return the target at *url*; *ca* is the file of the CA of its certificate."""
        parts = urlsplit(url)
        tls = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
        return cls(url, parts.hostname or "", parts.port or 0, parts.path, tls)

    def head(self, length: int, content_type: str = SOAP_TYPE) -> bytes:
        """Return the head of a request with a body of so many bytes."""
        fields = (f"Host: {self.host}:{self.port}", f"Content-Type: {content_type}", f"Content-Length: {length}")
        return "\r\n".join((f"POST {self.path} HTTP/1.1", *fields, "", "")).encode()

    def request(self, body: bytes) -> bytes:
        """Return a whole request with this SOAP envelope."""
        return self.head(len(body)) + body


class Line:
    """One open connection. Every method raises `OSError` or `EOFError` when the server has closed it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes; wait while the server does not read them."""
        if self._is_closed():
            raise ConnectionResetError
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)

    async def answer(self) -> tuple[int, bytes]:
        """Read one answer; return its status and its body."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        body = await self._reader.readexactly(int(length[1]) if length else 0)
        return int(head.split(maxsplit=2)[1]), body

    async def reply(self) -> int:
        """Read a reply of FTP or SMTP, each line of which begins with its code; return that."""
        while True:
            line = await self._reader.readuntil(b"\n")
            if not line[:3].isdigit():
                raise ConnectionAbortedError(f"expected a reply, got {line!r}")
            if line[3:4] != b"-":
                return int(line[:3])

    async def begin_tls(self, context: ssl.SSLContext) -> None:
        """Begin TLS on a connection that began without."""
        await self._writer.start_tls(context)

    async def answer_within(self, seconds: float) -> int:
        """Return the status of the next answer; 0 if there is none in so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                return (await self.answer())[0]
        except TimeoutError:
            return 0

    def _is_closed(self) -> bool:
        """Return whether the server has closed the connection; with TLS, uvloop drops what is written after that."""
        connection = self._writer.get_extra_info("socket")
        if connection is None or connection.fileno() < 0 or self._writer.transport.is_closing():
            return True
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def abort(self) -> None:
        """Close the connection at once."""
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(
    target: Target, address: str, *, without_tls: bool = False, receives: int = 0
) -> AsyncIterator[Line]:
    """Connect from *address* while the body runs. The client buffers *receives* bytes, or as many as is usual."""
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    try:
        connection.setblocking(False)
        if receives:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        connection.bind((address, 0))
        async with asyncio.timeout(_SECONDS):
            await loop.sock_connect(connection, (target.host, target.port))
            tls = None if without_tls else target.tls
            name = target.host if tls else None
            reader, writer = await asyncio.open_connection(
                sock=connection, ssl=tls, server_hostname=name, limit=receives or _READ_AHEAD
            )
    except BaseException:
        connection.close()
        raise
    line = Line(reader, writer)
    try:
        yield line
    finally:
        line.abort()
