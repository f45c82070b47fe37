"""A limit on guessing: who names too many tokens that are not its own has to wait.

Only such requests count and only such requests are refused, so a device behind the same address that knows its jobs
is not disturbed. Source: T-O4.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from postscan.core.clock import Clock
from postscan.core.errors import Throttled

WINDOW: Final = 60.0  # seconds
MOST_CALLERS: Final = 10_000


class Throttle:
    """Counts the misses of each caller within the window."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._misses: dict[str, deque[float]] = {}

    def miss(self, who: str) -> None:
        """Count one more miss; raise `Throttled` if there were too many."""
        now = self._clock.ticks()
        with self._lock:
            misses = self._misses.pop(who, None) or deque(maxlen=self._most)
            while misses and misses[0] <= now - WINDOW:
                misses.popleft()
            full = len(misses) == self._most
            if not full:
                misses.append(now)
            self._misses[who] = misses  # at the end: the callers that were seen longest ago come first
            if len(self._misses) > MOST_CALLERS:
                del self._misses[next(iter(self._misses))]
        if full:
            raise Throttled(who, misses[0] + WINDOW - now)
