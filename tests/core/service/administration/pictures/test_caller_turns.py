"""Turns of several callers at work that only one may do at a time."""

from __future__ import annotations

import threading

import pytest
from works import PATIENCE, until

from postscan.core.errors import Unavailable
from postscan.core.service.administration.pictures.caller_turns import CallerTurns


class Asked:
    """Callers that wait behind a turn of the test's own, and the order in which they had theirs."""

    def __init__(self, turns: CallerTurns) -> None:
        self.turns = turns
        self.order: list[str] = []
        self.threads: list[threading.Thread] = []

    def wait(self, caller: str) -> None:
        """Let one more caller wait."""
        before = self._waiting()
        self.threads.append(threading.Thread(target=self._take, args=(caller,)))
        self.threads[-1].start()
        until(lambda: self._waiting() > before, "for a caller to wait")

    def join(self) -> None:
        """Wait until all have had their turn."""
        for thread in self.threads:
            thread.join()

    def _waiting(self) -> int:
        return sum(map(len, self.turns._waiting.values()))

    def _take(self, caller: str) -> None:
        with self.turns.turn(caller):
            self.order.append(caller)


def test_a_caller_who_asks_for_much_delays_another_by_one_turn() -> None:
    """Callers follow each other, whoever of them came first and how often."""
    turns = CallerTurns(each=5, all=20, seconds=PATIENCE)
    asked = Asked(turns)
    with turns.turn("first"):
        for caller in ("anna", "anna", "anna", "boris", "boris", "carla"):
            asked.wait(caller)
    asked.join()

    assert asked.order == ["anna", "boris", "carla", "anna", "boris", "anna"]


def test_a_caller_may_wait_for_so_many_turns_and_all_for_so_many() -> None:
    """The one that is had counts. Others still get theirs while one caller has too many."""
    turns = CallerTurns(each=2, all=3, seconds=PATIENCE)
    asked = Asked(turns)
    with turns.turn("anna"):
        asked.wait("anna")
        with pytest.raises(Unavailable), turns.turn("anna"):
            pass
        asked.wait("boris")
        with pytest.raises(Unavailable), turns.turn("carla"):
            pass
    asked.join()

    assert asked.order == ["anna", "boris"]
    with turns.turn("carla"):
        pass


def test_who_waits_too_long_is_sent_away_and_in_nobodys_way() -> None:
    """A turn that does not end holds threads for so long and no longer."""
    turns = CallerTurns(each=2, all=3, seconds=0.05)
    with turns.turn("anna"), pytest.raises(Unavailable, match="try again"), turns.turn("boris"):
        pass

    with turns.turn("carla"):
        pass


def test_a_turn_that_fails_is_over() -> None:
    """The error is the caller's."""
    turns = CallerTurns(each=1, all=1, seconds=0.05)
    with pytest.raises(ZeroDivisionError), turns.turn("anna"):
        raise ZeroDivisionError

    with turns.turn("anna"):
        pass
