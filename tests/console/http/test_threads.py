"""The threads of pages: what one person keeps busy is no other's wait, and too much is refused at once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from postscan.console.errors import PageError
from postscan.console.http.threads import PageThreads, ThreadLimits


def test_one_person_cannot_take_all_threads() -> None:
    """One call of a person runs here, and one may wait; the next is refused, and another person is served."""
    free = threading.Event()

    async def run() -> tuple[list[bool], int, bool]:
        threads = PageThreads(ThreadLimits(running=2, running_of_caller=1, there=4, there_of_caller=2))
        held = [asyncio.create_task(threads.run("ann", free.wait, 60)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(PageError) as refused:
            await threads.run("ann", free.is_set)
        served = await threads.run("bob", threading.Event().is_set)
        free.set()
        return await asyncio.gather(*held), refused.value.status, served

    assert asyncio.run(run()) == ([True, True], 503, False)


def test_all_together_have_a_limit() -> None:
    """And a place is free again after its call."""
    free = threading.Event()

    async def run() -> tuple[list[bool], bool]:
        threads = PageThreads(ThreadLimits(running=4, running_of_caller=4, there=2, there_of_caller=2))
        held = [asyncio.create_task(threads.run(name, free.wait, 60)) for name in ("ann", "bob")]
        await asyncio.sleep(0)
        with pytest.raises(PageError):
            await threads.run("eve", free.is_set)
        free.set()
        return await asyncio.gather(*held), await threads.run("eve", free.is_set)

    assert asyncio.run(run()) == ([True, True], True)
