"""The limit on requests with a job token that is not the caller's.

Only such requests count and only such requests are refused, so a device behind the same address with valid tokens is
not affected. Source: T-O4.
"""

from __future__ import annotations

from typing import Final

from postscan.core.clock import Clock
from postscan.core.errors import Throttled
from postscan.core.model.rate_limit import RateLimit

WINDOW: Final = 60.0  # seconds


class Throttle:
    """Limits each caller to *most* wrong tokens in `WINDOW` seconds."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._misses = RateLimit(most, WINDOW, clock.ticks)

    def miss(self, caller: str) -> None:
        """Count a wrong token of *caller*; raise `Throttled` above the limit."""
        wait = self._misses.take(caller)
        if wait:
            raise Throttled(caller, wait)
