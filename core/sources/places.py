"""JobPlaces for the jobs that take pages of sources: so many of each inlet, and so many of all."""

from __future__ import annotations

import threading
from collections import Counter


class JobPlaces:
    """Counts the jobs that take pages; usable from several threads. *most* is that of all inlets."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, inlet: str, most: int) -> bool:
        """Take a place for a job of an inlet, which may have *most*; return False if there is none."""
        with self._lock:
            if self._taken[inlet] >= most or self._taken.total() >= self._most:
                return False
            self._taken[inlet] += 1
            return True

    def give_back(self, inlet: str) -> None:
        """Give a place back."""
        with self._lock:
            self._taken[inlet] -= 1

    def taken(self, inlet: str) -> int:
        """Return how many places an inlet has."""
        with self._lock:
            return self._taken[inlet]
