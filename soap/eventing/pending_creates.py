"""Creates whose answer is not written yet: until then, nobody hears of their jobs.

A device does not know the token before the answer, and could make nothing of an event about it.
Source: ws-dsp.md section 8 (DSP-066, O-26).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from postscan.core.model.principal import Principal

PATIENCE: Final = 10.0
"""Seconds after which an answer that nobody reads counts as written."""


class PendingCreates:
    """The Creates of all callers that are under way; lives on one event loop. *patience* is in seconds."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._answered: defaultdict[tuple[str, str], set[asyncio.Event]] = defaultdict(set)

    @contextlib.contextmanager
    def under_way(self, by: Principal) -> Iterator[None]:
        """Count a Create of this caller for the body, which ends when the answer is written, or never will be."""
        answered = asyncio.Event()
        mine = self._answered[by.name, by.proof]
        mine.add(answered)
        try:
            yield
        finally:
            answered.set()
            mine.discard(answered)
            if not mine:
                self._answered.pop((by.name, by.proof), None)

    async def settled(self, by: Principal) -> None:
        """Wait for the caller's Creates that are under way at this moment, and for no later one.

        Not for ever: a device that does not read its answer must not silence another behind the same address.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                for answered in list(self._answered.get((by.name, by.proof), ())):
                    await answered.wait()
