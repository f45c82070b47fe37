"""Accept connections: count each before anything else, and give it a session.

asyncio would accept a connection and shake hands before it calls the protocol, and it has no limit for connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import ipaddress
import socket
from collections.abc import Callable
from typing import Final

from postscan.plugins.sources.smtp.connection.certificate import CertificateFiles
from postscan.plugins.sources.smtp.connection.limits import ConnectionCount, CountedConnection
from postscan.plugins.sources.smtp.connection.session import HANDSHAKE_SECONDS, LINGER_SECONDS, SmtpSession
from postscan.plugins.sources.smtp.replies import Rejected
from postscan.plugins.sources.smtp.submission import Receiver

EXHAUSTED_SECONDS: Final = 1.0
"""Seconds until connections are accepted again after the process had no room for one."""

GARBAGE: Final = 32
"""Connections that end until their memory is freed: a session refers to itself, as do 300 KiB of buffers with TLS."""

GARBAGE_SECONDS: Final = 2.0
"""Seconds until that of fewer is."""

_LIBC: Final = ctypes.CDLL(None)
_AT_ONCE: Final = 16  # connections that are accepted in one round of the event loop
_BACKLOG: Final = 128


class Listener:
    """The socket of an inlet, and the sessions of its connections."""

    def __init__(self, receiver: Receiver, is_device: Callable[[str], bool], *, clear: bool) -> None:
        """Listen; raise `OSError` if the address is not free, `ValueError` for a certificate that cannot be used."""
        settings = receiver.settings
        self._receiver = receiver
        self._is_device = is_device
        self._clear = clear
        self._implicit = settings.tls == "implicit"
        self._certificate = CertificateFiles(settings, receiver.log) if settings.certificate else None
        self.limits = ConnectionCount(settings.connections, settings.connections_per_address)
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: dict[SmtpSession, None] = {}
        self._garbage = 0
        self._loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        self._socket = socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
        self._socket.setblocking(False)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._loop.add_reader(self._socket, self._accept)

    async def close(self, seconds: float) -> None:
        """Accept no more; give the mails that have arrived so many seconds to be stored, and end the other sessions."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        await asyncio.sleep(0)  # all tasks have begun
        for task in self._tasks:
            task.cancel()
        for session in list(self._sessions):
            session.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(
                    *self._tasks, *(session.ended for session in self._sessions), return_exceptions=True
                )
        for session in list(self._sessions):
            session.abort()

    def _accept(self) -> None:
        """Accept the connections that wait, but a few at most."""
        for _ in range(_AT_ONCE):
            try:
                connection, peer = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor or no memory: the connection waits in the kernel
                self._receiver.log("connections not accepted", "warning", reason=error.strerror or str(error))
                self._loop.remove_reader(self._socket)
                self._loop.call_later(EXHAUSTED_SECONDS, self._accept_again)
                return
            self._admit(connection, address_of(peer[0]))

    def _accept_again(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)

    def _admit(self, connection: socket.socket, address: str) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            counted = self.limits.admit(address, proven=self._is_device(address))
        except Rejected as rejected:
            self._receiver.log("connection rejected", source=address, reason=rejected.text)
            with connection, contextlib.suppress(OSError):
                if not self._implicit:
                    connection.send(f"{rejected.reply}\r\n".encode())
            return
        task = self._loop.create_task(self._connect(connection, counted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, connection: socket.socket, counted: CountedConnection) -> None:
        """Give the connection a session, behind a handshake if TLS is implicit."""
        connecting = asyncio.current_task()
        assert connecting is not None
        counted.give_way = connecting.cancel
        context = self._certificate.context if self._certificate else None
        shake_hands = self._implicit
        try:
            _, session = await self._loop.connect_accepted_socket(
                lambda: SmtpSession(self._receiver, counted, context, implicit=shake_hands, clear=self._clear),
                connection,
                ssl=context if shake_hands else None,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if shake_hands else None,
                ssl_shutdown_timeout=LINGER_SECONDS if shake_hands else None,
            )
        except OSError as error:  # also what TLS and its time-out raise
            self._receiver.log("connection failed", source=counted.address, reason=str(error) or "no handshake")
            counted.leave()
            self._count_ended()
        except BaseException:
            counted.leave()
            self._count_ended()
            raise
        else:
            self._sessions[session] = None
            session.ended.add_done_callback(lambda _: self._forget(session))

    def _forget(self, session: SmtpSession) -> None:
        self._sessions.pop(session, None)
        self._count_ended()

    def _count_ended(self) -> None:
        """Count a connection that has ended, and free the memory of many, or of the last; Python waits for hundreds."""
        self._garbage += 1
        if self._garbage == 1:
            self._loop.call_later(GARBAGE_SECONDS, self._free)
        if self._garbage == GARBAGE:
            self._free()

    def _free(self) -> None:
        if self._garbage:
            self._garbage = 0
            gc.collect()
            with contextlib.suppress(AttributeError):  # the C library is not glibc
                _LIBC.malloc_trim(0)


def address_of(host: str) -> str:
    """Return the address of a client; one of IPv4 in its own form where the socket is one of IPv6."""
    found = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped) if mapped is not None else host
