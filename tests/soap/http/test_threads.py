"""Threads that are shared fairly, and calls that wait without one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest
from collector import errors_in_cycles

from postscan.core.service.waiting import Steps, Wait
from postscan.core.service.waiting import run as run_steps
from postscan.soap.http.threads import FairThreads, Waiters


async def until(true: Callable[[], object]) -> None:
    """Wait until *true* returns something true."""
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.005)


async def turns() -> None:
    """Let the loop and its threads do all that they can."""
    for _ in range(20):
        await asyncio.sleep(0.005)


def test_a_client_has_its_share_of_the_threads() -> None:
    """T-H4: as many calls as the share run; one more waits, and the calls of others do not."""
    threads, gate, running = FairThreads(4, 2), threading.Event(), []

    def work(name: str) -> None:
        running.append(name)
        assert gate.wait(30)

    async def call() -> None:
        calls = [asyncio.create_task(threads.run("a", work, f"a{number}")) for number in range(3)]
        await until(lambda: len(running) == 2)
        calls.append(asyncio.create_task(threads.run("b", work, "b")))
        await until(lambda: "b" in running)
        await turns()
        assert sorted(running) == ["a0", "a1", "b"]
        gate.set()
        await asyncio.gather(*calls)

    asyncio.run(call())

    assert sorted(running) == ["a0", "a1", "a2", "b"]


def test_a_client_that_calls_seldom_is_next() -> None:
    """T-H4: others may have any number of calls waiting; they have the other threads."""
    threads, gates, began = FairThreads(3, 2), {}, list[str]()

    def work(name: str) -> None:
        began.append(name)
        assert gates[name].wait(30)

    async def call() -> None:
        names = ["a0", "a1", "b0", "a2", "b1", "c0"]
        gates.update({name: threading.Event() for name in names})
        calls = [asyncio.create_task(threads.run(name[0], work, name)) for name in names]
        await until(lambda: len(began) == 3)
        await turns()
        assert sorted(began) == ["a0", "a1", "b0"]
        for number, name in enumerate(("b0", "a0"), 4):
            gates[name].set()
            await until(lambda number=number: len(began) >= number)
        for gate in gates.values():
            gate.set()
        await asyncio.gather(*calls)

    asyncio.run(call())

    assert began[3:] == ["b1", "c0", "a2"]


def test_a_call_that_fails_leaves_nothing_to_the_garbage_collector() -> None:
    """T-H6: an error, the frames of its traceback, and the refused message in them are freed at once."""

    async def call() -> None:
        with contextlib.suppress(ValueError):
            await FairThreads(1, 1).run("a", int, "no number")

    with errors_in_cycles() as found:
        asyncio.run(call())

    assert found == []


def test_waiting_clients_take_turns() -> None:
    """T-H4: with one thread, the calls of two clients alternate, whichever came first."""
    threads, began = FairThreads(1, 1), list[str]()

    async def call() -> None:
        await asyncio.gather(*(threads.run(name[0], began.append, name) for name in ("a0", "a1", "a2", "b0", "b1")))

    asyncio.run(call())

    assert began == ["a0", "a1", "b0", "a2", "b1"]


def test_a_call_that_is_given_up_takes_no_thread() -> None:
    """Neither one that waits, nor one that has just got its turn."""
    threads, gate = FairThreads(1, 1), threading.Event()

    async def call() -> None:
        first = asyncio.create_task(threads.run("a", gate.wait, 30))
        await turns()
        waiting = [asyncio.create_task(threads.run(name, int)) for name in ("a", "b")]
        await turns()
        waiting[0].cancel()
        gate.set()
        while not first.done():
            await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert await asyncio.wait_for(threads.run("c", int), 30) == 0

    asyncio.run(call())


def waiting_for(event: Future[None], seconds: float = 60.0) -> Steps[str]:
    """Wait once for an event; return how the wait ended."""
    return "done" if (yield Wait(event, seconds)) else "not done"


def test_calls_that_wait_hold_no_thread() -> None:
    """T-H4: with one thread, ten of them wait, and another call is served meanwhile."""
    threads, waiters, event = FairThreads(1, 1), Waiters(), Future[None]()

    async def call() -> list[str]:
        waiting = [asyncio.create_task(waiters.run("a", threads, waiting_for(event))) for _ in range(10)]
        await turns()
        await asyncio.wait_for(threads.run("b", int), 30)
        assert not any(one.done() for one in waiting)
        event.set_result(None)
        return await asyncio.gather(*waiting)

    assert asyncio.run(call()) == ["done"] * 10


@pytest.mark.parametrize(("most", "own"), [(100, 2), (2, 100)], ids=["of one client", "in all"])
def test_so_many_calls_may_wait(most: int, own: int) -> None:
    """T-H4: for one more, the wait ends at once."""
    threads, waiters, event = FairThreads(4, 4), Waiters(most, own), Future[None]()

    async def call() -> list[str]:
        waiting = [asyncio.create_task(waiters.run("a", threads, waiting_for(event))) for _ in range(2)]
        await until(lambda: sum(waiters._waiting.values()) == 2)
        more = await asyncio.wait_for(waiters.run("a", threads, waiting_for(event)), 30)
        event.set_result(None)
        return [more, *await asyncio.gather(*waiting), await waiters.run("a", threads, waiting_for(event))]

    assert asyncio.run(call()) == ["not done", "done", "done", "done"]


def test_a_wait_has_an_end() -> None:
    """With a thread and without one."""

    async def call() -> str:
        return await Waiters().run("a", FairThreads(1, 1), waiting_for(Future(), 0.01))

    assert asyncio.run(call()) == "not done"
    assert run_steps(waiting_for(Future(), 0.01)) == "not done"


def test_an_error_of_a_step_is_raised() -> None:
    """By the call that ran it."""

    def failing() -> Steps[None]:
        yield Wait(Future(), 0.01)
        raise LookupError

    async def call() -> None:
        await Waiters().run("a", FairThreads(1, 1), failing())

    with pytest.raises(LookupError):
        asyncio.run(call())
    with pytest.raises(LookupError):
        run_steps(failing())
