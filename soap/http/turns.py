"""Turns on the event loop: what one client keeps waiting does not delay what another one sends.

A TLS handshake, a request, and a read of a few kilobytes in small chunks cost the event loop about a millisecond each.
Each of them therefore takes a turn. A few turns are given in each round of the event loop, and what is above that
waits. Clients with few waiting come first, one after the other; then the one with the fewest. So a client that sends a
few requests at a time waits for one turn of each client that does the same, and hardly for a client with many
connections. One turn of four goes to what has waited longest, so that such a client is served as well.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

AT_ONCE: Final = 2
"""Turns in a short round of the event loop."""

SECONDS: Final = 0.001
"""About what a turn costs. After a long round there are more turns, so that they get a third of the time."""

FEW: Final = 4
"""A client with up to so many waiting counts as one with a single one."""

LONGEST_EACH: Final = 4
"""One turn of so many goes to what has waited longest."""


class LoopTurn:
    """A turn that a client waits for."""

    def __init__(self, turns: LoopTurns, address: str, work: Callable[[], None], number: int) -> None:
        self.number = number
        self.work = work
        self._address = address
        self._turns = turns

    def give_up(self) -> None:
        """Wait no longer; does nothing if the turn was given."""
        self._turns.remove(self._address, self)


class LoopTurns:
    """The turns of all clients on one event loop; *ticks* returns monotonic seconds."""

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._waiting: dict[str, deque[LoopTurn]] = {}  # in the order in which they began to wait or had a turn
        self._began = 0.0  # of this round
        self._given = 0  # in this round
        self._asked = 0
        self._passed = 0
        self._is_in_round = False

    def take(self, address: str, work: Callable[[], None]) -> LoopTurn | None:
        """Call *work* in a turn of this client: at once, and then return None, or later, in another round."""
        if not self._waiting and self._given < AT_ONCE:
            self._given += 1
            self._begin_round()
            work()
            return None
        self._asked += 1
        turn = LoopTurn(self, address, work, self._asked)
        self._waiting.setdefault(address, deque()).append(turn)
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
        own = self._waiting.get(address, deque())
        if turn in own:
            own.remove(turn)
            if not own:
                del self._waiting[address]

    def _begin_round(self) -> None:
        if not self._is_in_round:
            self._is_in_round = True
            self._began = self._ticks()
            asyncio.get_running_loop().call_soon(self._next_round)

    def _next_round(self) -> None:
        most = max(AT_ONCE, round((self._ticks() - self._began) / SECONDS / 2))
        self._given, self._is_in_round = 0, False
        if self._waiting:
            self._begin_round()
        while self._waiting and self._given < most:
            self._given += 1
            self._next().work()

    def _next(self) -> LoopTurn:
        """Return the next turn, which is then waited for no more."""
        self._passed += 1
        is_longest = self._passed % LONGEST_EACH == 0
        address = min(self._waiting, key=self._since if is_longest else self._number)
        own = self._waiting.pop(address)
        turn = own.popleft()
        if own:
            self._waiting[address] = own
        return turn

    def _number(self, address: str) -> int:
        return max(len(self._waiting[address]), FEW)

    def _since(self, address: str) -> int:
        return self._waiting[address][0].number
