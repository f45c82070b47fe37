"""Creates whose response is not sent yet. Until it is, the events of their jobs are held back.

A device does not know the job token before the response and cannot relate an event to it.
Source: ws-dsp.md section 8 (DSP-066, O-26).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from postscan.core.model.principal import Principal

TIMEOUT: Final = 10.0
"""Seconds after which a response that its client does not read counts as sent."""


class PendingCreates:
    """The Creates of all callers in progress; on one event loop. *timeout* is in seconds."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._responded: defaultdict[tuple[str, str], set[asyncio.Event]] = defaultdict(set)

    @contextlib.contextmanager
    def pending(self, by: Principal) -> Iterator[None]:
        """Count a Create of this caller as in progress for the body, which ends when its response is sent or fails."""
        responded = asyncio.Event()
        own = self._responded[by.name, by.proof]
        own.add(responded)
        try:
            yield
        finally:
            responded.set()
            own.discard(responded)
            if not own:
                self._responded.pop((by.name, by.proof), None)

    async def wait(self, by: Principal) -> None:
        """Wait for the caller's Creates that are in progress now, not for later ones, and at most *timeout* seconds.

        The limit keeps a device that does not read its response from delaying another one of the same caller.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                for responded in list(self._responded.get((by.name, by.proof), ())):
                    await responded.wait()
