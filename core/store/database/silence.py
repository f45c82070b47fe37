"""End the connections to a server that accepts them and answers nothing.

A slow statement and a silent server look the same to a transaction. So while one takes longer than a moment, a thread
asks the server on a connection of its own. If it does not answer, and the transaction gets no answer meanwhile either,
all connections are shut down, and new ones are refused at once until it answers again. The kernel's timers see only a
silent network, not a process that stands still.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

PATIENCE: Final = 0.5  # seconds of a transaction, or since the last question, before the server is asked
_PAUSE: Final = 0.25  # seconds between two looks


class SilenceWatch:
    """Watches the transactions on one server; `silent` says that it did not answer when it was asked last.

    *answers* asks the server, and returns False if it does not answer for some seconds. It is called in one thread,
    soon after the first transaction, so that it has a connection before a slow one.
    """

    def __init__(self, answers: Callable[[], bool]) -> None:
        self.silent = False
        self._answers = answers
        self._begun: dict[int, float] = {}
        self._sockets: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, connection: Any) -> None:
        """Shut this connection of psycopg down as well when the server is silent."""
        descriptor = os.dup(connection.fileno())  # of its own: the other one may be closed, and used again, at any time
        weakref.finalize(connection, os.close, descriptor)
        with self._lock:
            self._sockets[connection] = descriptor

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch a transaction, which the body opens and ends in this thread."""
        with self._lock:
            self._begun[threading.get_ident()] = time.monotonic()
            if self._thread is None and not self._over.is_set():
                self._thread = threading.Thread(target=self._watch, name="postscan-database", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._begun[threading.get_ident()]

    def close(self) -> None:
        """Stop watching."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        asked: float | None = None
        while not self._over.wait(_PAUSE):
            if asked is None or (time.monotonic() - asked > PATIENCE and (self.silent or self._has_waited(PATIENCE))):
                begun = time.monotonic()
                is_answered = self._answers()
                asked = time.monotonic()
                self.silent = not is_answered and (self.silent or self._has_waited(asked - begun))
                if self.silent:
                    self._shut_down()

    def _has_waited(self, seconds: float) -> bool:
        """Return whether a transaction is open that began more than so many seconds ago."""
        with self._lock:
            return any(time.monotonic() - begun > seconds for begun in self._begun.values())

    def _shut_down(self) -> None:
        with self._lock:
            connections = list(self._sockets.items())  # as long as they are in this list, their descriptors are open
        for _, descriptor in connections:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as one:
                one.shutdown(socket.SHUT_RDWR)
