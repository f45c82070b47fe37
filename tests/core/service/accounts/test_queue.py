"""The queue of passwords that are to be compared: one at a time, in order, and few that wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from works import until

from postscan.core.errors import Unavailable
from postscan.core.service.accounts import queue
from postscan.core.service.accounts.queue import MOST, MOST_OF_CLIENT, ComparisonQueue


class Callers:
    """Threads that have turns, or wait for them."""

    def __init__(self) -> None:
        self.queue = ComparisonQueue()
        self.leave = threading.Event()
        self.order: list[str] = []
        self.refused: list[str] = []
        self._threads: list[threading.Thread] = []

    def come(self, client: str) -> None:
        """Enter the queue in a thread of its own, and stay in the turn until `leave` is set."""
        before = len(self.queue._tickets) + len(self.refused)
        thread = threading.Thread(target=self._have_turn, args=(client,))
        thread.start()
        self._threads.append(thread)
        until(lambda: len(self.queue._tickets) + len(self.refused) > before, "for a place in the queue")

    def end(self) -> None:
        """Let all of them have their turns, and wait for their ends."""
        self.leave.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _have_turn(self, client: str) -> None:
        try:
            with self.queue.turn(client):
                self.order.append(client)
                assert self.leave.wait(60)
        except Unavailable:
            self.refused.append(client)


def test_turns_are_given_in_the_order_of_arrival() -> None:
    """T-O11: who came first is not passed by others, and one has the turn at a time."""
    callers = Callers()
    for number in range(5):
        callers.come(f"client {number}")
    until(lambda: callers.order, "for the first turn")
    alone = list(callers.order)
    callers.end()

    assert alone == ["client 0"]
    assert callers.order == [f"client {number}" for number in range(5)]


def test_few_callers_wait() -> None:
    """T-O11: each holds a thread. One more is refused at once, and there is room again afterwards."""
    callers = Callers()
    for number in range(MOST + 2):
        callers.come(f"client {number}")
    refused = list(callers.refused)
    callers.end()
    with callers.queue.turn("later"):
        pass

    assert refused == [f"client {MOST}", f"client {MOST + 1}"]
    assert len(callers.order) == MOST


def test_a_client_has_a_part_of_the_places() -> None:
    """T-O11: one that tries a thousand passwords at once leaves room for others."""
    callers = Callers()
    for _ in range(MOST_OF_CLIENT + 3):
        callers.come("many")
    callers.come("other")
    refused = list(callers.refused)
    callers.end()

    assert refused == ["many"] * 3
    assert callers.order == ["many"] * MOST_OF_CLIENT + ["other"]


def test_nobody_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """T-O11: a caller whose turn does not come leaves the queue, and those behind it do not wait for it."""
    monkeypatch.setattr(queue, "WAIT_SECONDS", 0.05)
    callers = Callers()
    callers.come("first")
    callers.come("second")
    until(lambda: callers.refused == ["second"], "for the end of its patience")
    monkeypatch.setattr(queue, "WAIT_SECONDS", 60.0)
    callers.come("third")
    callers.end()

    assert callers.order == ["first", "third"]


@pytest.mark.parametrize("fails", [lambda: None, lambda: 1 // 0])
def test_a_turn_ends_however_it_ends(fails: Callable[[], Any]) -> None:
    """An error in a comparison does not stop the queue."""
    turns = ComparisonQueue()
    for _ in range(2 * MOST):
        try:
            with turns.turn("client"):
                fails()
        except ZeroDivisionError:
            pass

    assert not turns._tickets
