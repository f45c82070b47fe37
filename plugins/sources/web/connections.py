"""Connections: how many there are, of one address and in all, and the deadlines that uvicorn lacks.

A connection has its place from its accept, before TLS. From then on it always has a deadline, or a request is served:
the handshake, the whole head of a request, the pause between two requests. `postscan.plugins.sources.web.body` has the
deadlines of a body, and the kernel (TCP_USER_TIMEOUT) that of a response.

The classes use names inside uvicorn and h11, so uvicorn is pinned to a minor version.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from postscan.plugins.sources.web.access import plain_address

HEAD_BYTES: Final = 16 * 1024
PAUSE_SECONDS: Final = 0.5
"""Seconds without an accept after one that failed."""

KEPT: Final = 8
FEW: Final = 4
"""One connection of eight is left to addresses with fewer than four."""

_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class WebLimits:
    """How many connections there may be, and their deadlines in seconds."""

    connections: int
    connections_per_address: int
    handshake_seconds: float = 10.0
    head_seconds: float = 10.0
    idle_seconds: float = 15.0
    write_seconds: float = 30.0


class AddressPlaces:
    """The places of all connections."""

    def __init__(self, limits: WebLimits) -> None:
        self._limits = limits
        self._of_addresses: Counter[str] = Counter()

    def take(self, address: str) -> Callable[[], None] | None:
        """Return a function that leaves the place of one more connection; None if there is no place."""
        own, most = self._of_addresses[address], self._limits.connections
        most -= most // KEPT if own >= FEW else 0
        if own >= self._limits.connections_per_address or self._of_addresses.total() >= most:
            return None
        self._of_addresses[address] += 1
        is_taken = True

        def leave() -> None:
            nonlocal is_taken
            if is_taken:
                is_taken = False
                self._of_addresses[address] -= 1
                if not self._of_addresses[address]:
                    del self._of_addresses[address]

        return leave


class HeadDeadline(H11Protocol):
    """A connection that has a deadline for the whole head of each request, and leaves its place when it is closed."""

    limits: WebLimits
    leave: Callable[[], None]

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Set the deadline of the first head."""
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the place."""
        self._disarm()
        self.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and end the deadline of a head that is complete."""
        if self._timer is None and self.conn.their_state is h11.IDLE:
            self._arm()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._disarm()

    def _arm(self) -> None:
        self._timer = self.loop.call_later(self.limits.head_seconds, self._time_out)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.write(_TOO_SLOW)
            self.transport.close()


class WebListener:
    """Accepts the connections of one listening socket until it is closed; uvicorn takes it for a server of asyncio.

    *make* returns the protocol of one connection, *refused* is called with the address of one that has no place.
    """

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[], HeadDeadline],
        context: ssl.SSLContext | None,
        limits: WebLimits,
        refused: Callable[[str], None],
    ) -> None:
        self.sockets = (listener,)
        self._listener = listener
        self._make = make
        self._context = context
        self._limits = limits
        self._refused = refused
        self._places = AddressPlaces(limits)
        self._opening: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._resume()

    def close(self) -> None:
        """Accept no more connections, and end those whose handshake is not complete."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for opening in self._opening:
            self._loop.call_soon(opening.cancel)  # once it has begun: asyncio drops the arguments of one that has not

    async def wait_closed(self) -> None:
        """Return when no connection is being opened any more."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Accept one connection: `sock_accept` of asyncio loses one that comes while it is cancelled."""
        try:
            connection, peer = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:  # no descriptor or no memory is left; the socket stays readable meanwhile
            self._loop.remove_reader(self._listener)
            self._loop.call_later(PAUSE_SECONDS, self._resume)
            return
        connection.setblocking(False)
        self._take(connection, plain_address(peer[0]))

    def _take(self, connection: socket.socket, address: str) -> None:
        leave = self._places.take(address)
        if leave is None:
            connection.close()
            self._refused(address)
            return
        opening = asyncio.create_task(self._open(connection, leave))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket, leave: Callable[[], None]) -> None:
        """Open the transport, after the handshake under TLS; the protocol leaves the place of a connection it got."""
        options: dict[str, Any] = {}
        if self._context is not None:
            seconds = self._limits.handshake_seconds
            options = {"ssl": self._context, "ssl_handshake_timeout": seconds, "ssl_shutdown_timeout": seconds}
        protocol = self._make()
        protocol.leave = leave
        is_open = False
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            milliseconds = round(self._limits.write_seconds * 1000)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
            with contextlib.suppress(OSError):  # the client is gone, or its handshake failed or took too long
                await self._loop.connect_accepted_socket(lambda: protocol, connection, **options)
                is_open = True
        finally:
            if not is_open:
                leave()
                connection.close()
