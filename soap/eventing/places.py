"""Places for messages that are being sent, of which no caller takes more than are left free.

A caller is the owner of a subscription, and also the address of its sink. A place cannot be taken back from a slow
sink, so some stay free for callers that have none: n callers that take what they can leave one part in n + 1. The same
rule divides the memory of a switch among its queues (Choudhury and Hahne, "Dynamic Queue Length Thresholds for
Shared-Memory Packet Switches", IEEE/ACM Transactions on Networking 6(2), 1998).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator
from typing import TypeAlias

from postscan.core.model.principal import Principal

_Owner: TypeAlias = tuple[str, str]
_Turns: TypeAlias = deque[asyncio.Future[None]]


class FairPlaces:
    """*number* places; on one event loop."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._taken: Counter[str | _Owner] = Counter()
        self._waiting: dict[str, dict[_Owner, _Turns]] = {}

    @contextlib.asynccontextmanager
    async def place(self, owner: Principal, address: str) -> AsyncIterator[None]:
        """Wait for a place, and have it during the body. The addresses take turns, and at each address its owners."""
        key = (owner.name, owner.proof.value)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(address, {}).setdefault(key, deque()).append(turn)
        self._hand_out()
        try:
            await turn
            yield
        finally:
            if not turn.cancelled():
                self._give_back(address, key)

    def _hand_out(self) -> None:
        """Give free places to those that may have one, and put them behind the others."""
        while (found := self._next()) is not None:
            address, owner = found
            owners = self._waiting.pop(address)
            turns = owners.pop(owner)
            turn = turns.popleft()
            if not turn.cancelled():
                turn.set_result(None)
                self._free -= 1
                self._taken.update(found)
            if turns:
                owners[owner] = turns
            if owners:
                self._waiting[address] = owners

    def _next(self) -> tuple[str, _Owner] | None:
        """Return the address and the owner whose turn it is; those that have too many are passed over."""
        for address, owners in self._waiting.items():
            if self._taken[address] < self._free:
                for owner in owners:
                    if self._taken[owner] < self._free:
                        return address, owner
        return None

    def _give_back(self, address: str, owner: _Owner) -> None:
        self._free += 1
        for one in (address, owner):
            self._taken[one] -= 1
            if not self._taken[one]:
                del self._taken[one]
        owners = self._waiting.pop(address, {})
        if owner in owners:
            owners[owner] = owners.pop(owner)
        if owners:
            self._waiting[address] = owners  # behind those that had none meanwhile
        self._hand_out()
