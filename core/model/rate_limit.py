"""The rate limit of the server: a sliding window for each key."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class RateLimit:
    """At most *most* events of each key in any *seconds*; usable from several threads.

    *ticks* returns monotonic seconds. Memory is bounded: keys without an event in the window are dropped, and of more
    than *keys* of them the ones whose last event is the longest ago.
    """

    def __init__(self, most: int, seconds: float, ticks: Callable[[], float], *, keys: int = 10_000) -> None:
        self._most = most
        self._seconds = seconds
        self._ticks = ticks
        self._keys = keys
        self._lock = threading.Lock()
        self._events: dict[str, deque[float]] = {}  # the key with the latest event comes last

    def wait(self, key: str) -> float:
        """Return the seconds until another event of *key* is within the limit; 0.0 if it is now."""
        with self._lock:
            return self._wait(key, self._ticks())

    def take(self, key: str) -> float:
        """Count an event of *key* and return 0.0; if it is above the limit, count nothing and return as `wait` does."""
        with self._lock:
            now = self._ticks()
            wait = self._wait(key, now)
            if not wait:
                events = self._events.pop(key, None) or deque(maxlen=self._most)
                events.append(now)
                self._events[key] = events
                self._drop_old(now)
            return wait

    def _wait(self, key: str, now: float) -> float:
        events = self._events.get(key)
        if events is None or len(events) < self._most:
            return 0.0
        return max(0.0, events[0] + self._seconds - now)

    def _drop_old(self, now: float) -> None:
        """Drop keys in the order of their last events; the one that was just counted is not among them."""
        while True:
            oldest = next(iter(self._events))
            if len(self._events) <= self._keys and self._events[oldest][-1] > now - self._seconds:
                return
            del self._events[oldest]
