"""Turns on the event loop: what one client keeps waiting does not delay what another one sends.

A TLS handshake, a request, and a read of a few kilobytes in small chunks cost the event loop about a millisecond each.
Each of them therefore takes a turn. A few turns are given in each round of the event loop, and what is above that
waits. Clients with few waiting come first, one after the other. So a client that sends a few requests at a time waits
for one turn of each client that does the same, and hardly for a client with many waiting.

When several clients take turns, those with many waiting get no more than a quarter of the time: between two rounds with
turns of theirs the event loop rests, or serves others, three times as long as the first one took. Of four turns in such
rounds, one goes to what has waited longest, so that such a client is served whatever others send, and one to the client
with the fewest of those.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

AT_ONCE: Final = 2
"""Turns in a short round of the event loop."""

LONGER_SECONDS: Final = 0.008
"""Seconds of a round for each turn in the next one: other work, such as uploads, leaves a share of the time to them."""

AT_MOST: Final = 16
"""Most turns in a round, so that rounds do not become longer and longer where a turn takes that many seconds."""

ALONE: Final = 8
"""Turns in a round that follows a short one, if one client alone takes turns: another one waits for such a round."""

FEW: Final = 2
"""Most turns that a client with few waiting waits for."""

RESTS: Final = 3
"""Rounds for which the event loop rests after one with turns of clients with many waiting, while others are there."""

LONGEST_EACH: Final = 4
"""One turn of so many goes to what has waited longest."""

SHARED_SECONDS: Final = 0.25
"""Seconds for which a client counts as there after its turn: one that asks now and then slows no other down."""


class LoopTurn:
    """A turn that a client waits for."""

    __slots__ = ("_address", "_turns", "number", "work")

    def __init__(self, turns: LoopTurns, address: str, work: Callable[[], None], number: int) -> None:
        self.number = number
        self.work = work
        self._address = address
        self._turns = turns

    def give_up(self) -> None:
        """Wait no longer; does nothing if the turn was given."""
        self._turns.remove(self._address, self)


_Waiting = dict[str, deque[LoopTurn]]


class LoopTurns:
    """The turns of all clients on one event loop; *ticks* returns monotonic seconds."""

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._few: _Waiting = {}  # in the order in which clients began to wait, or had a turn
        self._many: _Waiting = {}
        self._numbers = itertools.count(1)
        self._passed = 0
        self._given = 0  # in this round
        self._began = 0.0
        self._is_in_round = False
        self._last = ""
        self._shared_until = -math.inf
        self._has_served_many = False  # in this round
        self._rests_until = -math.inf
        self._rest: asyncio.TimerHandle | None = None

    def take(self, address: str, work: Callable[[], None]) -> LoopTurn | None:
        """Call *work* in a turn of this client: at once, and then return None, or later, in another round."""
        own = self._few.get(address) or self._many.get(address)
        if own is None and not self._few and self._given < AT_ONCE:
            self._begin_round()
            self._note(address)
            work()
            return None
        turn = LoopTurn(self, address, work, next(self._numbers))
        if own is None:
            self._few[address] = deque([turn])
        else:
            own.append(turn)
            if len(own) == FEW + 1:
                self._many[address] = self._few.pop(address)
        self._begin_round()
        return turn

    async def wait(self, address: str) -> None:
        """Return when this client has a turn."""
        given = asyncio.Event()
        turn = self.take(address, given.set)
        try:
            await given.wait()
        finally:
            if turn is not None:
                turn.give_up()

    def remove(self, address: str, turn: LoopTurn) -> None:
        """Let a turn be waited for no more; does nothing if nothing waits for it."""
        own = self._few.get(address) or self._many.get(address) or deque()
        if turn in own:
            own.remove(turn)
            if len(own) in (0, FEW):
                self._sort_in(address, own)

    def _begin_round(self) -> None:
        if not self._is_in_round:
            self._is_in_round = True
            self._began = self._ticks()
            asyncio.get_running_loop().call_soon(self._next_round)

    def _next_round(self) -> None:
        now = self._ticks()
        length, is_shared = now - self._began, now < self._shared_until
        if self._has_served_many and is_shared:
            self._rests_until = now + RESTS * length
        self._given, self._has_served_many, self._began = 0, False, now
        most = self._most(length, is_shared=is_shared)
        try:
            while self._given < most and (address := self._next(is_rested=now >= self._rests_until)) is not None:
                self._give(address)
        finally:
            self._go_on(now)

    def _most(self, length: float, *, is_shared: bool) -> int:
        """Return how many turns there are in the round after one of *length* seconds."""
        if not is_shared and length < LONGER_SECONDS and len(self._few) + len(self._many) == 1:
            return ALONE
        return max(AT_ONCE, min(AT_MOST, int(length / LONGER_SECONDS)))

    def _go_on(self, now: float) -> None:
        """See to it that there is another round as long as anything waits; this one began *now*."""
        if self._given or self._few:
            asyncio.get_running_loop().call_soon(self._next_round)
            return
        self._is_in_round = False
        if self._many and self._rest is None:
            self._rest = asyncio.get_running_loop().call_later(self._rests_until - now, self._end_rest)

    def _end_rest(self) -> None:
        self._rest = None
        self._begin_round()

    def _next(self, *, is_rested: bool) -> str | None:
        """Return the client that has the next turn; None if there is none in this round."""
        if self._many and is_rested:
            self._passed += 1
            if self._passed % LONGEST_EACH == 0:
                return min((*self._few, *self._many), key=self._since)
            if not self._few or self._passed % LONGEST_EACH == LONGEST_EACH // 2:
                return min(self._many, key=self._number)
        return next(iter(self._few), None)

    def _give(self, address: str) -> None:
        own = self._few.get(address) or self._many[address]
        self._has_served_many = self._has_served_many or address in self._many
        turn = own.popleft()
        self._sort_in(address, own)
        self._note(address)
        turn.work()

    def _note(self, address: str) -> None:
        """Count a turn of this client."""
        self._given += 1
        if address != self._last:
            if self._last:
                self._shared_until = self._ticks() + SHARED_SECONDS
            self._last = address

    def _sort_in(self, address: str, own: deque[LoopTurn]) -> None:
        """Put a client behind those that have as few, or as many, waiting."""
        self._few.pop(address, None)
        self._many.pop(address, None)
        if own:
            (self._few if len(own) <= FEW else self._many)[address] = own

    def _number(self, address: str) -> int:
        return len(self._many[address])

    def _since(self, address: str) -> int:
        return (self._few.get(address) or self._many[address])[0].number
