"""What has happened between the simulated scanner and its clients: requests, their bodies, and events."""

from __future__ import annotations

import threading
import time
from typing import Final, NamedTuple

MOST_LOGGED: Final = 100_000
"""Requests, and events, that are kept."""

_MOST_BODIES: Final = 100  # of one operation
_MOST_OPERATIONS: Final = 50


class LoggedRequest(NamedTuple):
    """A request: when it arrived (monotonic seconds), its method, and its action, or its path without one."""

    at: float
    method: str
    what: str


class LoggedEvent(NamedTuple):
    """An event that is being sent: when (monotonic seconds), and its action."""

    at: float
    action: str


class RequestLog:
    """The requests and events of a scanner, the oldest first."""

    def __init__(self) -> None:
        self.requests: list[LoggedRequest] = []
        self.events: list[LoggedEvent] = []
        self._lock = threading.Lock()
        self._bodies: dict[str, list[bytes]] = {}

    def add_request(self, method: str, what: str, data: bytes) -> None:
        """Add a request; its body is kept among the last hundred of its operation."""
        name = what.rpartition("/")[2]
        with self._lock:
            self.requests.append(LoggedRequest(time.monotonic(), method, what))
            del self.requests[:-MOST_LOGGED]
            if name in self._bodies or len(self._bodies) < _MOST_OPERATIONS:
                self._bodies.setdefault(name, []).append(data)
                del self._bodies[name][:-_MOST_BODIES]

    def add_event(self, action: str) -> None:
        """Add an event."""
        with self._lock:
            self.events.append(LoggedEvent(time.monotonic(), action))
            del self.events[:-MOST_LOGGED]

    def bodies(self, operation: str) -> list[bytes]:
        """Return the last requests of an operation as they were received."""
        with self._lock:
            return list(self._bodies.get(operation, ()))
