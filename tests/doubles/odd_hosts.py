"""Hosts on the loopback that never get to the point: silent, out of reach, or talking without end."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def silent_host() -> Iterator[tuple[int, threading.Event]]:
    """Lend a port on which nobody ever answers, and an event that says when somebody came."""
    came = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as kept:

        def accept() -> None:
            with contextlib.suppress(OSError):
                kept.enter_context(listener.accept()[0])
                came.set()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1], came
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextlib.contextmanager
def full_host() -> Iterator[int]:
    """Lend a port on which no connection comes about: the queue is full, and nobody takes any from it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as kept:
        for _ in range(3):
            one = kept.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def chatterbox(line: bytes) -> Iterator[int]:
    """Lend a port on which everybody is told the same line without end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with contextlib.suppress(OSError), connection:
                        while True:
                            connection.sendall(line * 100)

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
