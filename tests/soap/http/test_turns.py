"""Turns on the event loop: who is next when more is asked for than one round has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from postscan.soap.http.turns import (
    ALONE,
    AT_MOST,
    AT_ONCE,
    FEW,
    LONGER_SECONDS,
    LONGEST_EACH,
    RESTS,
    SHARED_SECONDS,
    LoopTurns,
)


def given(ask: Callable[[LoopTurns, Callable[[str], None]], Awaitable[None]]) -> list[str]:
    """Return who got turns, in their order, when *ask* asks for them by its second argument."""
    order: list[str] = []

    async def run() -> None:
        turns = LoopTurns(lambda: 0.0)
        await ask(turns, lambda address: take(turns, address, order))
        while len(order) < len(asked):
            await asyncio.sleep(0)

    asked: list[str] = []

    def take(turns: LoopTurns, address: str, order: list[str]) -> None:
        asked.append(address)
        turns.take(address, partial(order.append, address))

    asyncio.run(run())
    return order


def taking(now: list[float], called: list[str], address: str) -> None:
    """Take 5 ms in a turn of this client."""
    called.append(address)
    now[0] += 0.005


def test_one_who_is_alone_waits_for_no_turn() -> None:
    """A request of an idle server costs no round of the event loop."""

    async def run() -> None:
        turns, called = LoopTurns(), list[int]()
        for number in range(3):
            assert turns.take("a", partial(called.append, number)) is None
            await asyncio.sleep(0)
        assert called == [0, 1, 2]

    asyncio.run(run())


def test_the_client_with_the_fewest_waiting_is_next() -> None:
    """T-H4: however many another one keeps waiting."""

    async def ask(_turns: LoopTurns, take: Callable[[str], None]) -> None:
        take("other")
        for _ in range(50):
            take("many")
        await asyncio.sleep(0)
        take("one")

    assert "one" in given(ask)[AT_ONCE : 3 * AT_ONCE]


def test_a_client_with_a_little_more_than_few_waiting_is_next_among_those_with_many() -> None:
    """T-H4: also while others with few keep coming: a device with five connections is no flood."""

    async def ask(_turns: LoopTurns, take: Callable[[str], None]) -> None:
        for address in ["many"] * 50 + ["device"] * (FEW + 1):
            take(address)
        for _ in range(2 * LONGEST_EACH):
            for address in "abcd"[:AT_ONCE]:
                take(address)
            await asyncio.sleep(0)

    assert "device" in given(ask)[AT_ONCE : AT_ONCE * (1 + LONGEST_EACH)]


def test_clients_with_few_waiting_take_turns() -> None:
    """T-H4: one of them is not served before another one because it has fewer."""

    async def ask(_turns: LoopTurns, take: Callable[[str], None]) -> None:
        for address in "x" * AT_ONCE + "a" * FEW + "bb" + "c":
            take(address)

    assert "".join(given(ask)[AT_ONCE : AT_ONCE + 3]) == "abc"


def test_what_has_waited_longest_is_served_as_well() -> None:
    """A client with many connections gets on, whatever others send meanwhile."""

    async def ask(_turns: LoopTurns, take: Callable[[str], None]) -> None:
        for _ in range(20):
            take("many")
        for _ in range(4 * LONGEST_EACH):
            for address in "abcd"[:AT_ONCE]:
                take(address)
            await asyncio.sleep(0)

    order = given(ask)[AT_ONCE : 4 * LONGEST_EACH * AT_ONCE]
    assert order.count("many") >= len(order) // LONGEST_EACH - 1


def test_few_turns_are_given_in_one_round() -> None:
    """The event loop reads, answers and accepts between two rounds."""

    async def run() -> None:
        turns, rounds = LoopTurns(lambda: 0.0), list[int]()
        called: list[int] = []
        turns.take("b", partial(called.append, 0))
        for number in range(1, 4 * AT_ONCE):
            turns.take("a", partial(called.append, number))
        while len(called) < 4 * AT_ONCE:
            rounds.append(len(called))
            await asyncio.sleep(0)
        assert rounds == list(range(AT_ONCE, 4 * AT_ONCE, AT_ONCE))

    asyncio.run(run())


def test_a_client_that_is_alone_has_more_turns_in_a_round_until_another_one_waits() -> None:
    """A round costs as much as a turn; who arrives waits for one that is longer."""

    async def run() -> None:
        turns, called = LoopTurns(lambda: 0.0), list[str]()
        for _ in range(30):
            turns.take("a", partial(called.append, "a"))
        await asyncio.sleep(0)
        assert called == ["a"] * (AT_ONCE + ALONE)
        turns.take("b", partial(called.append, "b"))
        await asyncio.sleep(0)
        assert len(called) == 2 * AT_ONCE + ALONE
        assert "b" in called
        await asyncio.sleep(0)
        assert len(called) <= 3 * AT_ONCE + ALONE

    asyncio.run(run())


def test_rounds_do_not_grow_without_end() -> None:
    """Where a turn takes so long that each round would give the next one more turns."""
    now = [0.0]

    async def run() -> None:
        turns, called = LoopTurns(lambda: now[0]), list[str]()

        def work() -> None:
            called.append("a")
            now[0] += 2 * LONGER_SECONDS

        for _ in range(200):
            turns.take("a", work)
        rounds = []
        while len(called) < 200:
            before = len(called)
            await asyncio.sleep(0)
            rounds.append(len(called) - before)
        assert max(rounds) == AT_MOST

    asyncio.run(run())


def test_there_are_more_turns_after_a_long_round() -> None:
    """Other work of the event loop, such as uploads, leaves a share of its time to them."""
    now = [0.0]

    async def run() -> None:
        turns, called = LoopTurns(lambda: now[0]), list[int]()
        for number in range(AT_ONCE):
            turns.take("a", partial(called.append, number))
        now[0] += 10 * LONGER_SECONDS
        for number in range(50):
            turns.take("a", partial(called.append, number))
        await asyncio.sleep(0)
        assert len(called) == AT_ONCE + 10

    asyncio.run(run())


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_client_with_many_waiting_has_a_quarter_of_the_time_unless_it_is_alone(*, is_alone: bool) -> None:
    """T-H4: the event loop rests three times as long as its turns took, and serves others at once meanwhile."""
    now = [0.0]

    async def run() -> None:
        turns, called = LoopTurns(lambda: now[0]), list[str]()
        work = partial(taking, now, called)
        if not is_alone:
            turns.take("one", partial(work, "one"))
        for _ in range(20):
            turns.take("many", partial(work, "many"))
        for _ in range(20):
            await asyncio.sleep(0)
        if is_alone:
            assert called == ["many"] * 20
            return
        assert called == ["one"] + ["many"] * 3
        assert turns.take("one", partial(work, "one")) is None
        now[0] += 0.025
        await asyncio.sleep(0.2)
        assert called == ["one"] + ["many"] * 3 + ["one"] + ["many"] * 3

    asyncio.run(run())


def test_a_client_that_asks_now_and_then_slows_no_other_down() -> None:
    """Another one has all of the time once the first one was not there for a moment."""
    now = [0.0]

    async def run() -> None:
        turns, called = LoopTurns(lambda: now[0]), list[str]()
        work = partial(taking, now, called)
        turns.take("one", partial(work, "one"))
        turns.take("many", partial(work, "many"))
        now[0] += SHARED_SECONDS
        for _ in range(20):
            turns.take("many", partial(work, "many"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert called == ["one"] + ["many"] * 21

    asyncio.run(run())


def test_a_turn_that_asks_for_the_next_one_shortens_no_rest() -> None:
    """T-H4: the loop rests three times as long as the whole round took."""
    now, delays = [0.0], list[float]()

    async def run() -> None:
        turns, loop = LoopTurns(lambda: now[0]), asyncio.get_running_loop()
        later = loop.call_later

        def call_later(delay: float, *arguments: Any) -> asyncio.TimerHandle:
            delays.append(delay)
            return later(delay, *arguments)

        def work() -> None:
            now[0] += 0.001
            turns.take("many", work)

        turns.take("one", lambda: None)
        for _ in range(20):
            turns.take("many", work)
        loop.call_later = call_later  # type: ignore[method-assign]  # the real one, watched
        while not delays:
            await asyncio.sleep(0)

    asyncio.run(run())
    assert delays[0] == pytest.approx(RESTS * AT_ONCE * 0.001)


def test_a_turn_that_is_given_up_is_not_given() -> None:
    """A connection that closed while it waited; its client keeps no place in the order."""

    async def run() -> None:
        turns, called = LoopTurns(), list[str]()
        for address in ("a",) * AT_ONCE + ("b", "b"):
            last = turns.take(address, partial(called.append, address))
        assert last is not None
        last.give_up()
        last.give_up()
        for _ in range(5):
            await asyncio.sleep(0)
        assert called == ["a"] * AT_ONCE + ["b"]
        last.give_up()

    asyncio.run(run())


def test_one_who_stops_waiting_takes_no_turn() -> None:
    """A handshake that ends at its deadline."""

    async def run() -> None:
        turns, called = LoopTurns(), list[str]()
        for _ in range(AT_ONCE + 1):
            turns.take("a", partial(called.append, "a"))
        waiting = asyncio.ensure_future(turns.wait("b"))
        await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        await turns.wait("c")
        assert called == ["a"] * (AT_ONCE + 1)

    asyncio.run(run())


def test_a_turn_that_fails_ends_no_others() -> None:
    """The event loop reports the error, and the next turn is given."""

    async def run() -> None:
        turns, reported = LoopTurns(), list[object]()
        called: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context["exception"]))

        def fail() -> None:
            raise ValueError("broken")

        for _ in range(AT_ONCE):
            turns.take("a", partial(called.append, "a"))
        turns.take("a", fail)
        turns.take("b", partial(called.append, "b"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert called == ["a"] * AT_ONCE + ["b"]
        assert [str(error) for error in reported] == ["broken"]

    asyncio.run(run())
