"""How often a device is asked: at most one request a second outside of scans, and growing pauses after failures.

Source: WSS-017, WSS-020.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

REQUEST_SECONDS: Final = 1.02
"""Seconds between two requests to a device: a second, and what the way to it may take less the next time."""

SHORTEST: Final = 1.0
LONGEST: Final = 60.0


class RequestPace:
    """The requests to one device; several threads may use it."""

    def __init__(self, seconds: float = REQUEST_SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, sleep: Callable[[float], object], longest: float = 60.0) -> None:
        """Wait for the turn of one request, by *sleep*, for at most *longest* seconds."""
        with self._lock:
            now = time.monotonic()
            at = min(max(now, self._next), now + longest)
            self._next = at + self._seconds
        if at > now:
            sleep(at - now)


class GrowingPause:
    """Pauses of 1, 2, 4 ... 60 s."""

    def __init__(self) -> None:
        self._seconds = SHORTEST

    def next(self) -> float:
        """Return the next pause in seconds."""
        now, self._seconds = self._seconds, min(2 * self._seconds, LONGEST)
        return now

    def reset(self) -> None:
        """Begin again with the shortest."""
        self._seconds = SHORTEST
