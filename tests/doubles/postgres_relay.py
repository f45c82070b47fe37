"""Between a client and PostgreSQL: passes messages on, and cuts connections at the COMMIT of a transaction that writes.

The messages are those of the protocol, version 3: a type of one byte, a length of four, the content. The first message
of a client has no type.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import sqlalchemy as sa

SOCKET: Final = ".s.PGSQL.5432"
CUTS: Final = ("before", "in", "late", "after")
_LATE: Final = 0.4  # seconds
_WRITES: Final = (b"INSERT", b"UPDATE", b"DELETE")


class PostgresRelay:
    """A relay to the server of *url*, on a socket in a folder of its own; `url` leads to it.

    Each entry of `cuts` ends one connection whose client sends COMMIT after it has written: `before` the server gets
    it, `in` it, when the server has it but not yet replied, `late`, where the server gets it long after the client was
    cut, or `after` the server has replied; an empty one spares a commit. `commits` counts these commits. While
    `closed`, new connections are refused; with `closing`, a cut closes it.
    """

    def __init__(self, url: str) -> None:
        address = sa.make_url(url)
        self._server = str(Path(str(address.query["host"])) / SOCKET)
        self._folder = Path(tempfile.mkdtemp(prefix="pg-relay-"))
        self.url = address.update_query_dict({"host": str(self._folder)}).render_as_string(hide_password=False)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._folder / SOCKET))
        self._listener.listen(100)
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.cuts: deque[str] = deque()
        self.commits = 0
        self.closed = self.closing = False

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._listener, *self._sockets)
        for thread in self._threads:
            thread.join(10)
        for one in (self._listener, *self._sockets):
            one.close()
        shutil.rmtree(self._folder)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.closed:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._sockets += [client, server]
                connection = _Connection(self, client, server)
                for work in (connection.forward, connection.back):
                    self._threads.append(threading.Thread(target=connection.closed_after, args=(work,)))
                    self._threads[-1].start()


class _Connection:
    def __init__(self, relay: PostgresRelay, client: socket.socket, server: socket.socket) -> None:
        self._relay = relay
        self._client = client
        self._server = server
        self._has_written = False
        self._is_over = False
        self._replied = threading.Event()
        self._directions = threading.Semaphore(1)

    def closed_after(self, work: Callable[[], None]) -> None:
        """Pass messages on in one direction; close both sockets when the other one has ended as well."""
        work()
        if not self._directions.acquire(blocking=False):
            self._client.close()
            self._server.close()

    def forward(self) -> None:
        with contextlib.suppress(OSError), self._client.makefile("rb") as reader:
            self._server.sendall(_message(reader, b""))
            for kind, message in _messages(reader):
                if kind == b"Q" and message[5:] == b"COMMIT\0" and self._has_written:
                    self._relay.commits += 1
                    cut = self._relay.cuts.popleft() if self._relay.cuts else ""
                    if cut:
                        self._cut(cut, message)
                        return
                self._server.sendall(message)
        _end(self._client, self._server)

    def back(self) -> None:
        with contextlib.suppress(OSError), self._server.makefile("rb") as reader:
            for kind, message in _messages(reader):
                if kind == b"C":
                    tag = message[5:].split(b" ")[0].rstrip(b"\0")
                    self._has_written = tag in _WRITES or (self._has_written and tag != b"BEGIN")
                if self._is_over:
                    self._replied.set()
                else:
                    self._client.sendall(message)
        self._replied.set()
        _end(self._client)

    def _cut(self, cut: str, message: bytes) -> None:
        self._is_over = True
        self._relay.closed = self._relay.closing
        if cut == "late":
            _end(self._client)
            threading.Event().wait(_LATE)
        if cut != "before":
            self._server.sendall(message)
        if cut in ("late", "after"):
            self._replied.wait(10)
        _end(self._client, self._server)


def _messages(reader: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    while kind := reader.read(1):
        yield kind, _message(reader, kind)


def _message(reader: BinaryIO, kind: bytes) -> bytes:
    length = reader.read(4)
    return kind + length + reader.read(int.from_bytes(length, "big") - 4)


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
