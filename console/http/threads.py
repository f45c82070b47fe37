"""Threads for page functions: few, shared fairly, and with few requests that wait for one.

A request above the limits is answered with 503 at once: what waits in a long queue helps no one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

from postscan.console.errors import PageError
from postscan.soap.http.threads import FairThreads

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


@dataclass(frozen=True, slots=True)
class ThreadLimits:
    """How many calls run at a time, of all and of one caller; and how many are there, those that wait included."""

    running: int
    running_of_caller: int
    there: int
    there_of_caller: int


PAGES = ThreadLimits(running=8, running_of_caller=4, there=160, there_of_caller=32)
"""By person: eight tabs of one person that open at once have their turns."""
SLOW = ThreadLimits(running=2, running_of_caller=1, there=240, there_of_caller=100)
"""By person, for what waits for a worker; a page may have fifty pictures that a browser asks for."""
CALLERS = ThreadLimits(running=4, running_of_caller=3, there=320, there_of_caller=240)
"""By address, to find out who asks, which is one read: a proxy has one address for all."""
LOGINS = ThreadLimits(running=4, running_of_caller=2, there=24, there_of_caller=8)
"""By address: a password takes a fraction of a second, and may wait for others (T-C3)."""


class PageThreads:
    """Threads for one kind of calls."""

    def __init__(self, limits: ThreadLimits) -> None:
        self._limits = limits
        self._threads = FairThreads(limits.running, limits.running_of_caller)
        self._there: Counter[str] = Counter()

    async def run(self, caller: str, work: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
        """Call *work* in a thread and return its result; raise `PageError` (503) if too many calls are there."""
        if self._there.total() >= self._limits.there or self._there[caller] >= self._limits.there_of_caller:
            raise PageError.busy()
        self._there[caller] += 1
        try:
            return await self._threads.run(caller, work, *arguments)
        finally:
            self._there[caller] -= 1
            if not self._there[caller]:
                del self._there[caller]
