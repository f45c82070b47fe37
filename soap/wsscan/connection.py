"""One TCP connection to a device, whose every wait ends at a deadline, at a cancel and at `abort`.

The socket does not block: a wait looks at the cancel every `SLICE`, so a device that sends nothing, or reads nothing,
holds no thread. `http.client` reads the HTTP messages through `makefile`.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from postscan.soap.wsscan.faults import CallAborted, DeviceAway

SLICE: Final = 0.05
"""Seconds between two looks at the token; `abort` needs none."""


class StopCheck(Protocol):
    """What ends a wait from outside: a `CancellationToken`, or anything else whose `check` raises."""

    def check(self) -> None:
        """Raise if the wait has to end."""


class DeviceConnection:
    """A connection; `until` is the deadline of the wait that is next, on `time.monotonic`.

    The owner moves `until`. `abort` may be called from another thread; every other method from one thread at a time.
    """

    def __init__(self, address: str, port: int, *, stop: StopCheck | None, until: float) -> None:
        self.until = until
        self._address = f"{address} port {port}"
        self._host = (address, port)
        self._stop = stop
        self._lock = threading.Lock()  # of what follows
        self._socket: socket.socket | None = None
        self._aborted = False

    def open(self) -> None:
        """Connect to the first address that answers; raise `DeviceAway`, `CallAborted` or `Cancelled`."""
        problem = "its address is not known"
        try:
            found = socket.getaddrinfo(*self._host, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise DeviceAway(f"the device {self._host[0]} cannot be reached: {error}") from None
        for family, kind, protocol, _, address in found:
            one = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
            self._use(one)
            problem = self._connected(one, address)
            if not problem:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return
        raise DeviceAway(f"the device at {self._address} cannot be reached: {problem}")

    def abort(self) -> None:
        """End what the other thread waits for, with `CallAborted`; it stays so."""
        with self._lock:
            self._aborted = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    # --- what http.client needs of a socket ------------------------------------------------------------------------

    def sendall(self, data: bytes) -> None:
        """Send all of *data*; raise `DeviceAway` if the device does not read it in time."""
        sent = 0
        while sent < len(data):
            self._wait(select.POLLOUT)
            sent += self._call(lambda one: one.send(memoryview(data)[sent:])) or 0  # noqa: B023  (called at once)

    def makefile(self, *_args: Any, **_named: Any) -> io.BufferedReader:
        """Return a reader of the connection."""
        return io.BufferedReader(_Received(self.receive), 64 * 1024)

    def receive(self, buffer: memoryview) -> int:
        """Read at least a byte into *buffer* and return the number; 0 at the end."""
        while True:
            self._wait(select.POLLIN)
            size = self._call(lambda one: one.recv_into(buffer))
            if size is not None:
                return size

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    # ---------------------------------------------------------------------------------------------------------------

    def _use(self, one: socket.socket) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = one

    def _connected(self, one: socket.socket, address: Any) -> str:
        """Connect; return why that failed, "" if it did not."""
        number = one.connect_ex(address)
        if number == errno.EINPROGRESS:
            self._wait(select.POLLOUT)
            number = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._check()
        return os.strerror(number) if number else ""

    def _call(self, call: Callable[[socket.socket], int]) -> int | None:
        """Return the result of a call of the socket, None if it was not ready after all."""
        if (one := self._socket) is None:
            raise CallAborted
        try:
            return call(one)
        except BlockingIOError:
            return None
        except OSError as error:
            self._check()
            raise DeviceAway(f"the connection to the device broke: {error.strerror or error}") from None

    def _wait(self, event: int) -> None:
        """Wait until the socket is ready; raise at the deadline, at `abort` and at the cancel."""
        one = self._socket
        if one is None:
            raise CallAborted
        poll = select.poll()
        poll.register(one, event)
        while True:
            self._check()
            left = self.until - time.monotonic()
            if left <= 0:
                raise DeviceAway(f"the device at {self._address} did not answer in time")
            if poll.poll(1000 * min(SLICE, left)):
                self._check()
                return

    def _check(self) -> None:
        if self._aborted:
            raise CallAborted
        if self._stop is not None:
            self._stop.check()


class _Received(io.RawIOBase):
    def __init__(self, receive: Callable[[memoryview], int]) -> None:
        super().__init__()
        self._receive = receive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._receive(memoryview(buffer))
