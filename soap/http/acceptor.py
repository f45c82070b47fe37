"""Accept connections: each gets its place before a byte of it is read, and before its TLS handshake.

The servers of asyncio and uvloop know a connection only after its handshake, count none, and go on accepting without a
pause when the process has no descriptors left.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from weakref import WeakValueDictionary

import uvloop

from postscan.core.model.rate_limit import RateLimit
from postscan.soap.http.connections import ConnectionPlace, Connections, spread
from postscan.soap.http.tls import RECORD_BYTES
from postscan.soap.http.tls import transport as tls_transport
from postscan.soap.http.turns import LoopTurns

log = logging.getLogger(__name__)

AT_ONCE: Final = 32
"""Connections that are accepted before other work has its turn."""

PAUSE_SECONDS: Final = 0.5
"""Seconds without an accept when the process, or the machine, has no descriptors or no memory left."""

HANDSHAKES: Final = 8
"""Handshakes of one address at a time: a client may send the costly part of each after its turn, and of all at once."""

LEAST_SECONDS: Final = 0.001
"""Seconds of a handshake whose first byte arrives at its deadline."""

HANDSHAKE: Final = b"\x16"
HEADER_BYTES: Final = 5
"""The first byte of a record of a handshake, and the bytes of its header, the last two its length (RFC 8446 5.1)."""

LOG_SECONDS: Final = 60.0
"""Seconds between two log lines about refused connections of one address, and about pauses."""

_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class AcceptSettings:
    """The places of connections, their deadlines in seconds, and the turns for their handshakes.

    A connection is closed when its client acknowledges none of the bytes sent to it for *write_seconds*.
    """

    connections: Connections
    handshake_seconds: float
    write_seconds: float
    turns: LoopTurns


class Loop(uvloop.Loop):
    """An event loop whose TCP servers are acceptors."""

    def __init__(self, settings: AcceptSettings) -> None:
        super().__init__()
        self._settings = settings

    async def create_server(  # type: ignore[override]  # the other arguments are those of uvloop
        self, factory: Any, *args: Any, sock: Any = None, ssl: Any = None, **options: Any
    ) -> Any:
        """Accept the connections of a listening socket; return an object that uvicorn closes like a server."""
        if sock is None:
            return await super().create_server(factory, *args, sock=sock, ssl=ssl, **options)
        return Acceptor(self, sock, factory, ssl, self._settings)


class Acceptor:
    """Accepts the connections of one listening socket until it is closed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        factory: Callable[[], Any],
        context: ssl.SSLContext | None,
        settings: AcceptSettings,
    ) -> None:
        self.sockets = (listener,)
        self._loop = loop
        self._listener = listener
        self._factory = factory
        self._settings = settings
        self._context = context
        self._opening: set[asyncio.Task[None]] = set()
        self._handshakes: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._logged = RateLimit(1, LOG_SECONDS, loop.time)
        self._is_closed = False
        listener.setblocking(False)
        self._resume()

    def use(self, context: ssl.SSLContext | None) -> None:
        """Accept further connections with this TLS context; those that are established keep theirs."""
        self._context = context

    def close(self) -> None:
        """Accept no more connections; those that are established stay open."""
        self._is_closed = True
        self._loop.remove_reader(self._listener)
        for opening in self._opening:
            self._loop.call_soon(opening.cancel)  # once it has begun, as in `_open`

    async def wait_closed(self) -> None:
        """Return at once: closing takes no time."""

    def _resume(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listener, self._accept_some)

    def _accept_some(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self._pause(error)
                return
            self._open(connection, peer[0])

    def _pause(self, error: OSError) -> None:
        """Stop for a moment: the listening socket stays readable, so that the loop would do nothing else."""
        if not self._logged.take(""):
            log.error("no connections accepted for a moment", extra={"reason": str(error)})
        self._loop.remove_reader(self._listener)
        self._loop.call_later(PAUSE_SECONDS, self._resume)

    def _open(self, connection: socket.socket, address: str) -> None:
        place = self._settings.connections.admit(address)
        if place is None:
            connection.close()
            if not self._logged.take(address):
                log.warning("connection refused: too many connections", extra={"source": address})
            return
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            milliseconds = round(self._settings.write_seconds * 1000)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        except OSError:  # the client is gone
            place.release()
            connection.close()
            return
        opening = self._loop.create_task(self._establish(connection, place))
        # Not before it has begun: it closes the connection, and asyncio runs nothing of a task that has not.
        place.closed_by(partial(self._loop.call_soon, opening.cancel))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _establish(self, connection: socket.socket, place: ConnectionPlace) -> None:
        """Open the transport, after the handshake under TLS; the protocol releases the place of a connection it got."""
        made: Any = None
        try:
            async with contextlib.AsyncExitStack() as until_made:
                options = await self._begin_handshake(connection, place.address, until_made) if self._context else {}
                made = self._factory()
                made.place = place
                if self._context is None:
                    await self._loop.connect_accepted_socket(lambda: made, connection)
                else:
                    await tls_transport.connect(connection, made, self._context, **options)
        except BaseException as error:
            place.release()
            if made is None:
                connection.close()
            else:
                if made.transport is not None:
                    made.connection_lost(None)  # which uvloop does not call if this is cancelled while it opens it
                made.parser = None  # which refers to its protocol; uvicorn does this when a connection is lost
            if not isinstance(error, OSError):
                raise  # else the handshake failed, and `postscan.soap.http.tls` logs why, or took too long

    async def _begin_handshake(
        self, connection: socket.socket, address: str, until_made: contextlib.AsyncExitStack
    ) -> dict[str, Any]:
        """Wait for the first record of a handshake, before which the connection has no buffers, and then for a turn.

        The handshake is one of the `HANDSHAKES` of its address until *until_made* ends. Returns its options. Raises
        `TimeoutError` at its deadline.
        """
        seconds = self._settings.handshake_seconds
        until = self._loop.time() + spread(seconds)
        async with asyncio.timeout_at(until):
            await self._first_record(connection)
            await until_made.enter_async_context(self._handshakes_of(address))
            await self._settings.turns.wait(address)
        left = max(until - self._loop.time(), LEAST_SECONDS)
        return {"handshake_seconds": left, "shutdown_seconds": seconds}

    def _handshakes_of(self, address: str) -> asyncio.Semaphore:
        return self._handshakes.setdefault(address, asyncio.Semaphore(HANDSHAKES))

    async def _first_record(self, connection: socket.socket) -> None:
        """Wait until the first record of TLS has arrived, or something else: a part of it needs no turn yet."""
        await self._readable(connection)
        arrived, before = connection.recv(HEADER_BYTES + RECORD_BYTES, socket.MSG_PEEK), -1
        while before < len(arrived) < (size := _size(arrived)):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
            await self._readable(connection)
            before, arrived = len(arrived), connection.recv(size, socket.MSG_PEEK)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    async def _readable(self, connection: socket.socket) -> None:
        """Wait until as many bytes have arrived as SO_RCVLOWAT says, or the client has closed the connection."""
        readable = asyncio.Event()
        self._loop.add_reader(connection, readable.set)
        try:
            await readable.wait()
        finally:
            self._loop.remove_reader(connection)


def _size(arrived: bytes) -> int:
    """Return the size of the record of a handshake that begins with these bytes, or of its header; 0 for others."""
    if arrived[:1] != HANDSHAKE:
        return 0
    if len(arrived) < HEADER_BYTES:
        return HEADER_BYTES
    return HEADER_BYTES + min(int.from_bytes(arrived[3:HEADER_BYTES]), RECORD_BYTES)
