"""Between a client and its SMB server: passes messages on, and falls silent, cuts or changes them as a test wants."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self


class Relay:
    """A relay on a free port to *target*.

    The client's message number `cut` (1 is the first) of the first connection ends that: before it is passed on, or,
    if it is to be `delivered`, before its answer is; the server gets it `late` seconds after the client was cut. If
    `silent`, nobody hears anything from then on instead.
    `change` replaces bytes in what the client sends. `seen` is all that it has sent, `calls` counts its connections,
    `count` its messages.
    """

    def __init__(
        self,
        target: int,
        *,
        cut: int = 0,
        delivered: bool = False,
        silent: bool = False,
        late: float = 0.0,
        change: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        self._target = target
        self._cut, self._delivered, self._silent, self._late, self._change = cut, delivered, silent, late, change
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self.port = self._listener.getsockname()[1]
        self._answered = threading.Event()
        self._reached, self._passed_on = threading.Event(), threading.Event()
        self.fell_silent = threading.Event()
        self.seen = b""
        self.calls = self.count = 0

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._late and self._reached.is_set():
            self._passed_on.wait(60)  # else the server could get the late message after the test has looked
        self._over.set()
        self._answered.set()
        _cut(self._listener)
        for one in self._sockets:
            _cut(one)
        for thread in self._threads:
            thread.join(10)
        for one in (self._listener, *self._sockets):
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over.is_set():
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self.calls += 1
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets.append(server)
                deaf = threading.Event()
                first = self.calls == 1
                for work in (
                    threading.Thread(target=self._forward, args=(client, server, deaf, first)),
                    threading.Thread(target=self._back, args=(server, client, deaf)),
                ):
                    self._threads.append(work)
                    work.start()

    def _forward(self, client: socket.socket, server: socket.socket, deaf: threading.Event, first: bool) -> None:
        for number, message in enumerate(_messages(client), start=1):
            self.count += 1
            self.seen += message
            last = first and number == self._cut
            if last:
                deaf.set()
                self._reached.set()
            if last and self._late:
                _cut(client)
                self._over.wait(self._late)
            if not last or self._delivered:
                with contextlib.suppress(OSError):
                    server.sendall(message.replace(*self._change) if self._change[0] else message)
            if last and self._silent:
                self.fell_silent.set()
                self._over.wait(120)
            if last:
                if self._delivered:
                    self._answered.wait(10)
                break
        _cut(client)
        _cut(server)
        if first:
            self._passed_on.set()

    def _back(self, server: socket.socket, client: socket.socket, deaf: threading.Event) -> None:
        for message in _messages(server):
            if deaf.is_set():
                self._answered.set()
                continue
            with contextlib.suppress(OSError):
                client.sendall(message)
        if not deaf.is_set():
            _cut(client)


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """Lend the port of somebody who takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _messages(source: socket.socket) -> Iterator[bytes]:
    """Yield each message with its length before it, as SMB sends them, until the connection ends."""
    with contextlib.suppress(OSError), source.makefile("rb") as reader:
        while head := reader.read(4):
            yield head + reader.read(int.from_bytes(head[1:], "big"))


def _cut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
