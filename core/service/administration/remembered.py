"""A value that is computed again when it is too old, by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """What *compute* has returned, for so many seconds; *ticks* returns monotonic seconds. Usable from several threads.

    Callers that come while it is computed wait for it. An error is raised to its caller alone, and not remembered.
    """

    def __init__(self, compute: Callable[[], Value], seconds: float, ticks: Callable[[], float]) -> None:
        self._compute = compute
        self._seconds = seconds
        self._ticks = ticks
        self._lock = threading.Lock()
        self._known: tuple[Value, float] | None = None

    def get(self) -> Value:
        """Return the value; raise what *compute* raises."""
        with self._lock:
            if self._known is None or self._ticks() >= self._known[1] + self._seconds:
                self._known = self._compute(), self._ticks()
            return self._known[0]

    def forget(self) -> None:
        """Let the next call compute the value."""
        with self._lock:
            self._known = None
