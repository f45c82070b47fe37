"""Calls into pyftpdlib's loop from other threads: nothing else of it may be called from them."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any


class LoopCalls:
    """Runs functions in the thread of *loop*, in their order; an event descriptor wakes it."""

    def __init__(self, loop: Any, failed: Callable[[], object]) -> None:
        self._loop = loop
        self._failed = failed
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()
        self._closed = False
        self._fileno = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        loop.register(self._fileno, self, loop.READ)

    def call(self, function: Callable[[], object]) -> bool:
        """Let the loop call *function* soon; return whether the loop still runs. For any thread."""
        with self._lock:
            if self._closed:
                return False
            self._waiting.append(function)
            os.eventfd_write(self._fileno, 1)
            return True

    # --- what the loop calls

    def handle_read_event(self) -> None:
        """Run what waits; an error in one function keeps none of the others."""
        with self._lock:
            os.eventfd_read(self._fileno)
            functions, self._waiting = self._waiting, deque()
        for function in functions:
            try:
                function()
            except Exception:  # noqa: BLE001  (one session's error; the others go on)
                self._failed()

    def readable(self) -> bool:
        """Return that this waits for calls."""
        return True

    def writable(self) -> bool:
        """Return that this writes nothing."""
        return False

    def handle_error(self) -> None:
        """Report an error of the descriptor itself."""
        self._failed()

    def handle_close(self) -> None:
        """Do nothing: an event descriptor has no other end."""

    def close(self) -> None:
        """Take no more calls; called by the loop at its end."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._loop.unregister(self._fileno)
                os.close(self._fileno)
