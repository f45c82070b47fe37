"""Calls into the loop of pyftpdlib from other threads."""

from __future__ import annotations

import threading

from postscan.plugins.sources.ftp.channels.library import IOLoop
from postscan.plugins.sources.ftp.channels.loop_calls import LoopCalls


def test_calls_of_many_threads_run_in_the_thread_of_the_loop():
    """Each once, and those of one thread in their order."""
    loop = IOLoop.factory()
    calls = LoopCalls(loop, lambda: None)
    ran: list[tuple[int, int, int]] = []

    def call(caller: int) -> None:
        for number in range(100):
            assert calls.call(lambda number=number: ran.append((caller, number, threading.get_ident())))

    callers = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for one in callers:
        one.start()
    while len(ran) < 400:
        loop.poll(60.0)
    for one in callers:
        one.join()
    loop.close()

    assert {ident for _, _, ident in ran} == {threading.get_ident()}
    for caller in range(4):
        assert [number for who, number, _ in ran if who == caller] == list(range(100))


def test_an_error_of_one_call_keeps_none_of_the_others():
    """It is reported."""
    loop = IOLoop.factory()
    failed: list[str] = []
    calls = LoopCalls(loop, lambda: failed.append("once"))
    ran: list[int] = []
    calls.call(lambda: ran.append(1 // 0))
    calls.call(lambda: ran.append(2))
    loop.poll(60.0)
    loop.close()

    assert (ran, failed) == ([2], ["once"])


def test_after_the_end_of_the_loop_nothing_is_called():
    """And the caller is told."""
    loop = IOLoop.factory()
    calls = LoopCalls(loop, lambda: None)
    loop.close()

    assert not calls.call(lambda: None)
