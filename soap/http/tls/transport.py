"""TLS over a connection whose bytes are read into memory that all connections share.

uvloop has a buffer of 256 KiB for each TLS connection. A read fills as much of it, and OpenSSL's own buffer grows to
the same size and never shrinks. Also, glibc may make that buffer of free memory that other blocks have written to, all
of which then belongs to a silent connection. So a read is at most `READ_BYTES` here, and the pages of the buffer are
given back before its first use.

uvloop asks any other protocol than its own one for TLS where to read to. This module puts that one behind a protocol of
its own, so uvloop is pinned to a minor version.
"""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import socket
import ssl
from functools import partial
from typing import Any, ClassVar, Final

from uvloop.loop import SSLProtocol  # type: ignore[attr-defined]  # uvloop does not declare it

READ_BYTES: Final = 64 << 10
"""Most bytes of a read."""

_LIBC: Final = ctypes.PyDLL(None)  # which keeps the interpreter's lock: the call takes a microsecond


class _SharedReads(asyncio.BufferedProtocol):
    """Passes on to TLS what a transport has read, before anything else is read into the same memory.

    There is one event loop in the process.
    """

    _memory: ClassVar = memoryview(bytearray(READ_BYTES))

    def __init__(self, tls: Any) -> None:
        self._tls = tls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._tls.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End TLS."""
        self._tls.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the shared memory."""
        return self._memory

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on the bytes that were read."""
        self._tls.get_buffer(nbytes)[:nbytes] = self._memory[:nbytes]
        self._tls.buffer_updated(nbytes)

    def eof_received(self) -> bool | None:
        """Pass on the end."""
        ended: bool | None = self._tls.eof_received()
        return ended

    def pause_writing(self) -> None:
        """Pass on that the client does not read."""
        self._tls.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that it reads again."""
        self._tls.resume_writing()


async def connect(
    connection: socket.socket,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    *,
    handshake_seconds: float,
    shutdown_seconds: float,
) -> None:
    """Complete the handshake of an accepted connection, and pass it to *protocol*; raise `OSError` if it fails."""
    loop = asyncio.get_running_loop()
    made = loop.create_future()
    tls = SSLProtocol(
        loop,
        protocol,
        context,
        made,
        server_side=True,
        ssl_handshake_timeout=handshake_seconds,
        ssl_shutdown_timeout=shutdown_seconds,
    )
    give_back_pages(tls.get_buffer(0))
    transport = tls._get_app_transport()
    is_open = False
    try:
        await loop.connect_accepted_socket(partial(_SharedReads, tls), connection)
        is_open = True
        await made
    except BaseException:
        if not made.cancel() and not made.cancelled():
            made.exception()  # retrieved, so that asyncio does not report it
        transport.close()
        if not is_open:
            tls.connection_lost(None)  # which uvloop does not call for a connection that it closes while it opens it
        raise
    finally:
        del made, tls, transport  # the traceback of an error, which `made` refers to, refers to this frame


def give_back_pages(memory: memoryview) -> None:
    """Give whole pages of memory back, whose content is lost; the next write to one takes a new page."""
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    first, end = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE, (begin + len(memory)) // mmap.PAGESIZE * mmap.PAGESIZE
    _LIBC.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), mmap.MADV_DONTNEED)
