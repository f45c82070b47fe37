"""Lines of the audit trail about refused requests: so many of one caller and of all; the others are counted.

Any client can cause such lines, and the trail is kept for long, so a flood of them must not fill it.
Source: T-O1, T-O9.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Final

from postscan.core.clock import Clock
from postscan.core.errors import StoreBusy
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.rate_limit import RateLimit
from postscan.core.model.records import AuditLine
from postscan.core.settings.engine import LimitSettings
from postscan.core.store.store import Store

WINDOW: Final = 60.0  # seconds

_SERVER: Final = Principal("server", Proof.LOCAL)


class Refusals:
    """Records refused requests; safe to use from several threads. Raised by all: `StoreBusy`."""

    def __init__(self, store: Store, limits: LimitSettings, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._of_caller = RateLimit(limits.bad_tokens, WINDOW, clock.ticks)
        self._of_all = RateLimit(limits.refused_lines, WINDOW, clock.ticks)
        self._lock = threading.Lock()
        self._unwritten = 0
        self._by_verb: Counter[str] = Counter()

    @property
    def by_verb(self) -> dict[str, int]:
        """How many requests this process has refused, with a line of their own or not, by verb."""
        with self._lock:
            return dict(self._by_verb)

    def record(self, by: Principal, verb: str, token: str = "", detail: str = "") -> None:
        """Write a line about a refused request, or count it if its caller or all have too many in `WINDOW` seconds."""
        with self._lock:
            self._by_verb[verb] += 1
        if self._of_caller.take(f"{by.proof}:{by.name}") or self._of_all.take(""):
            self._count(1)
        else:
            self._store.record(AuditLine.of(by, verb, token, self._clock.now(), "refused", detail))

    def summarize(self) -> None:
        """Write a line with the number of requests that were counted since the last call, if there are any."""
        with self._lock:
            number, self._unwritten = self._unwritten, 0
        if not number:
            return
        detail = f"{number} more requests were refused and have no line of their own"
        try:
            self._store.record(AuditLine.of(_SERVER, "summarize", "", self._clock.now(), "refused", detail))
        except StoreBusy:
            self._count(number)
            raise

    def _count(self, number: int) -> None:
        with self._lock:
            self._unwritten += number
