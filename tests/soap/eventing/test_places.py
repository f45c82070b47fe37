"""Places for messages that are being sent: how many a caller gets, and who is next."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from postscan.core.model.principal import Principal, Proof
from postscan.soap.eventing.places import FairPlaces

A, B, C = (Principal(f"device:10.0.0.{n}", Proof.ADDRESS) for n in (1, 2, 3))


class Senders:
    """Messages that want a place: `sending` are the names of those that have one, in the order in which they got it."""

    def __init__(self, places: FairPlaces) -> None:
        self._places = places
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._over: dict[str, asyncio.Event] = {}
        self.sending: list[str] = []

    async def want(self, name: str, owner: Principal, address: str) -> None:
        """Ask for a place, and let the loop do all that it can."""
        self._over[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._send(name, owner, address))
        await _turns()

    async def end(self, name: str) -> None:
        """Be answered by the sink."""
        self._over[name].set()
        await _turns()

    async def cancel(self, name: str) -> None:
        """Interrupt one."""
        self._tasks[name].cancel()
        await _turns()

    async def _send(self, name: str, owner: Principal, address: str) -> None:
        async with self._places.place(owner, address):
            self.sending.append(name)
            try:
                await self._over[name].wait()
            finally:
                self.sending.remove(name)


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def play(scene: Coroutine[Any, Any, list[str]]) -> list[str]:
    """Run a scene on a loop and return what was being sent at its end."""
    return asyncio.run(scene)


def test_a_caller_takes_no_more_places_than_it_leaves_free() -> None:
    """T-A6: half of them if it is alone; a second caller gets as many as are left free then."""

    async def scene() -> list[str]:
        senders = Senders(FairPlaces(9))
        for number in range(9):
            await senders.want(f"a{number}", A, "10.0.0.1")
        assert len(senders.sending) == 5  # the fifth one left four
        for number in range(9):
            await senders.want(f"b{number}", B, "10.0.0.2")
        return list(senders.sending)

    assert play(scene()) == ["a0", "a1", "a2", "a3", "a4", "b0", "b1"]


def test_one_owner_at_many_addresses_and_many_owners_at_one_are_one_caller_each() -> None:
    """T-A6: neither a list of networks nor a box full of certificates is a way around the share."""

    async def scene(owners: list[Principal], addresses: list[str]) -> list[str]:
        senders = Senders(FairPlaces(4))
        for number, (owner, address) in enumerate(zip(owners, addresses, strict=True)):
            await senders.want(f"{number}", owner, address)
        return list(senders.sending)

    assert play(scene([A, A, A], ["10.0.0.1", "10.0.0.2", "10.0.0.3"])) == ["0", "1"]
    assert play(scene([A, B, C], ["10.0.0.1"] * 3)) == ["0", "1"]
    assert play(scene([A, B, C], ["10.0.0.1", "10.0.0.2", "10.0.0.3"])) == ["0", "1", "2"]


def test_who_has_none_is_next_however_many_others_wait() -> None:
    """T-A6: a bystander waits for one message at most, whatever its neighbours have asked for before it."""

    async def scene() -> list[str]:
        senders = Senders(FairPlaces(2))
        for number in range(50):
            await senders.want(f"a{number}", A, "10.0.0.1")
        await senders.want("b0", B, "10.0.0.2")
        assert senders.sending == ["a0", "b0"]
        for number in range(1, 50):
            await senders.want(f"b{number}", B, "10.0.0.2")
        await senders.want("c0", C, "10.0.0.3")
        assert senders.sending == ["a0", "b0"]
        await senders.end("a0")
        return list(senders.sending)

    assert play(scene()) == ["b0", "c0"]


def test_callers_take_turns_and_so_do_the_owners_of_one_address() -> None:
    """T-A6: not in the order of their messages, of which one caller may have thousands."""

    async def scene() -> list[str]:
        senders = Senders(FairPlaces(1))
        order = ["a0"]
        for owner, names in ((A, ("a0", "a1", "a2")), (B, ("b0", "b1")), (C, ("c0",))):
            for name in names:
                await senders.want(name, owner, "10.0.0.9" if owner is C else "10.0.0.1")
        while senders.sending:
            await senders.end(order[-1])
            order += senders.sending
        return order

    assert play(scene()) == ["a0", "c0", "b0", "a1", "b1", "a2"]


def test_a_message_that_is_interrupted_gives_its_place_back_and_one_that_waits_its_turn() -> None:
    """I32: also when its turn has just come; at the end all places are free and nothing is remembered."""

    async def scene() -> list[str]:
        places = FairPlaces(1)
        senders = Senders(places)
        for name in ("a0", "a1", "a2", "a3"):
            await senders.want(name, A, "10.0.0.1")
        await senders.cancel("a1")
        assert senders.sending == ["a0"]
        senders._over["a0"].set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # a2 has its turn, and has not seen it
        await senders.cancel("a2")
        assert senders.sending == ["a3"]
        await senders.cancel("a3")
        assert (places._free, places._taken, places._waiting) == (1, {}, {})
        return list(senders.sending)

    assert play(scene()) == []
