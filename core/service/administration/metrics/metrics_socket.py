"""The way of the metrics from a server to the console beside it: a socket in the data folder, for its own user alone.

A reader connects and reads to the end. It is no HTTP: who wants that asks the port of `[monitoring]`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

NAME: Final = "metrics.sock"
"""Name of the socket in the data folder."""

WRITE_SECONDS: Final = 2.0
READ_SECONDS: Final = 2.0
"""For all of a page."""

MOST_BYTES: Final = 8 << 20
"""Bytes that a reader takes at most."""

_BACKLOG: Final = 16
_PAUSE: Final = 1.0  # seconds after an error of accept, such as too few descriptors


@contextlib.contextmanager
def served(folder: Path, page: Callable[[], bytes]) -> Iterator[None]:
    """Send what *page* returns to each reader while the body runs, to one after the other.

    Where there can be no such socket, that is logged, and the body runs without it.
    """
    with contextlib.ExitStack() as held:
        try:
            listener = held.enter_context(_listener(folder))
        except OSError as error:
            log.warning("metrics not given to the console", extra={"file": str(folder / NAME), "reason": str(error)})
            yield
            return
        over = threading.Event()
        thread = threading.Thread(
            target=_loop, args=(listener, page, over), name="postscan-metrics-socket", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)  # ends accept
            thread.join()


def read(folder: Path) -> str:
    """Return the metrics of the server with this data folder; "" if there is none, or if it does not give them."""
    until = time.monotonic() + READ_SECONDS
    received = bytearray()
    try:
        with _address(folder) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(READ_SECONDS)
            connection.connect(address)
            while data := connection.recv(1 << 16):
                received += data
                connection.settimeout(max(0.001, until - time.monotonic()))
                if len(received) > MOST_BYTES:
                    return ""
            return received.decode()
    except (OSError, UnicodeDecodeError):
        return ""


@contextlib.contextmanager
def _listener(folder: Path) -> Iterator[socket.socket]:
    """Yield the listening socket, and remove it at the end."""
    with socket.socket(socket.AF_UNIX) as listener, _address(folder) as address:
        Path(address).unlink(missing_ok=True)  # of a server that was killed
        listener.bind(address)
        Path(address).chmod(0o600)
        listener.listen(_BACKLOG)
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                Path(address).unlink()


@contextlib.contextmanager
def _address(folder: Path) -> Iterator[str]:
    """Yield a short path of the socket: the address of a socket has 107 bytes, fewer than a path."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


def _loop(listener: socket.socket, page: Callable[[], bytes], over: threading.Event) -> None:
    while not over.is_set():
        try:
            connection, _ = listener.accept()
        except OSError:
            over.wait(_PAUSE)
            continue
        with connection, contextlib.suppress(OSError):  # the reader has gone, or does not read
            connection.settimeout(WRITE_SECONDS)
            connection.sendall(page())
