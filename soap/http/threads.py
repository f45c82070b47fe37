"""Threads for work that blocks, shared fairly: the calls of one client never take all of them.

A call above the share of its client waits on the event loop. When a thread is free, the client with the fewest running
calls has its turn; of several, the one that has waited longest for a turn. So a client that calls now and then waits
for one call of each other client at most, however many these have waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable
from concurrent import futures
from typing import Final, TypeVar, TypeVarTuple

from anyio import CapacityLimiter, to_thread

from postscan.core.service.waiting import Steps, Wait

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")

MOST_WAITING: Final = 500
MOST_WAITING_PER_CALLER: Final = 50
"""Calls that may wait for an event, in all and of one client; further ones do not wait."""


class FairThreads:
    """Threads for one kind of work: at most *most*, and at most *most_per_caller* for one client."""

    def __init__(self, most: int, most_per_caller: int) -> None:
        self._limiter = CapacityLimiter(most)
        self._free = most
        self._most_per_caller = most_per_caller
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # in the order of their turns

    async def run(self, caller: str, work: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
        """Call *work* in a thread and return its result."""
        await self._turn(caller)
        try:
            returned, raised = await to_thread.run_sync(_outcome, work, *arguments, limiter=self._limiter)
        finally:
            self._end(caller)
        if raised:
            raise raised.pop()
        return returned.pop()

    async def _turn(self, caller: str) -> None:
        """Wait until the client may have one more thread."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        self._give_turns()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._end(caller)
            raise

    def _end(self, caller: str) -> None:
        self._free += 1
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]
        self._give_turns()

    def _give_turns(self) -> None:
        while self._free and (caller := self._next()) is not None:
            turns = self._waiting.pop(caller)
            turn = turns.popleft()
            if turns:
                self._waiting[caller] = turns
            if not turn.cancelled():
                self._free -= 1
                self._running[caller] += 1
                turn.set_result(None)

    def _next(self) -> str | None:
        """Return which of the waiting clients has its turn; None if each of them has its share."""
        caller = min(self._waiting, key=self._running.__getitem__, default=None)
        return None if caller is None or self._running[caller] >= self._most_per_caller else caller


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


def _outcome(work: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> tuple[list[_Result], list[Exception]]:
    """Call *work*; return its result or its exception, each in a list that the caller takes it out of.

    An exception must not reach the future in which anyio waits: its traceback would refer to the frame that has the
    future, so that all that its frames hold, such as a refused message, would stay until the garbage collector runs.
    """
    try:
        return [work(*arguments)], []
    except Exception as error:  # noqa: BLE001  (raised again by the caller)
        return [], [error]


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
