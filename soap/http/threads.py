"""Threads for work that blocks, shared fairly: the calls of one client never take all of them.

A call above the share of its client waits on the event loop, behind the other calls of that client alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent import futures
from dataclasses import dataclass, field
from typing import Final, TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread

from postscan.core.service.waiting import Steps, Wait

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")

MOST_WAITING: Final = 500
MOST_WAITING_PER_CALLER: Final = 50
"""Calls that may wait for an event, in all and of one client; further ones do not wait."""


@dataclass(slots=True)
class _Share:
    turn: asyncio.Semaphore
    calls: int = field(default=0)


class FairThreads:
    """Threads for one kind of work: at most *most*, and at most *most_per_caller* for one client."""

    def __init__(self, most: int, most_per_caller: int) -> None:
        self._limiter = CapacityLimiter(most)
        self._most_per_caller = most_per_caller
        self._shares: dict[str, _Share] = {}

    async def run(self, caller: str, work: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
        """Call *work* in a thread and return its result."""
        async with self._turn(caller):
            return await to_thread.run_sync(work, *arguments, limiter=self._limiter)

    @contextlib.asynccontextmanager
    async def _turn(self, caller: str) -> AsyncIterator[None]:
        share = self._shares.setdefault(caller, _Share(asyncio.Semaphore(self._most_per_caller)))
        share.calls += 1
        try:
            async with share.turn:
                yield
        finally:
            share.calls -= 1
            if not share.calls:
                del self._shares[caller]


class Waiters:
    """Runs verbs that wait: their steps in threads, their waits on the event loop.

    At most *most* calls wait at the same time, and *most_per_caller* of one client; for a further one each wait ends
    at once, as if its time had passed.
    """

    def __init__(self, most: int = MOST_WAITING, most_per_caller: int = MOST_WAITING_PER_CALLER) -> None:
        self._most = most
        self._most_per_caller = most_per_caller
        self._waiting: dict[str, int] = {}

    async def run(self, caller: str, threads: FairThreads, steps: Steps[_Result]) -> _Result:
        """Run a verb to its end and return its result."""
        is_done: bool | None = None
        while True:
            wait, result = await threads.run(caller, _step, steps, is_done)
            if wait is None:
                return result[0]
            is_done = wait.event.done() or await self._wait(caller, wait.event, wait.seconds)

    async def _wait(self, caller: str, event: futures.Future[None], seconds: float) -> bool:
        own = self._waiting.get(caller, 0)
        if own >= self._most_per_caller or sum(self._waiting.values()) >= self._most:
            return False
        self._waiting[caller] = own + 1
        try:
            return await _is_done(event, seconds)
        finally:
            self._waiting[caller] -= 1
            if not self._waiting[caller]:
                del self._waiting[caller]


def _step(steps: Steps[_Result], is_done: bool | None) -> tuple[Wait | None, list[_Result]]:
    """Run a verb to its next wait; return that, or None and the result."""
    try:
        return (next(steps) if is_done is None else steps.send(is_done)), []
    except StopIteration as ended:
        return None, [ended.value]


async def _is_done(event: futures.Future[None], seconds: float) -> bool:
    """Wait for an event of another thread, without a thread; return False if it takes longer."""
    loop, woken = asyncio.get_running_loop(), asyncio.Event()

    def wake(_event: futures.Future[None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(woken.set)

    event.add_done_callback(wake)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await woken.wait()
    return event.done()
