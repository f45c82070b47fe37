"""The kill ladder: which rung comes when, and that nothing comes after the end."""

from __future__ import annotations

import time

import pytest

from postscan.core.filters.cancellation import CancelSource
from postscan.core.workers.termination import Termination


class Fall:
    """Notes when each rung was taken."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.rungs: list[tuple[str, float]] = []

    def ask(self) -> None:
        """Note it."""
        self._note("ask")

    def kill(self) -> None:
        """Note it."""
        self._note("kill")

    def force_kill(self) -> None:
        """Note it."""
        self._note("bury")

    def _note(self, rung: str) -> None:
        self.rungs.append((rung, time.monotonic() - self.begun))


def test_the_rungs_come_one_after_another_each_when_its_time_is_up() -> None:
    """Promise 4: grace, term, and then the keeper's own moment."""
    with CancelSource() as source:
        fall = Fall()
        with Termination(source, fall, seconds=60, grace=0.2, term=0.1) as ladder:
            source.cancel("the test says so")
            time.sleep(1.7)

    assert [rung for rung, _ in fall.rungs] == ["ask", "kill", "bury"]
    assert [at for _, at in fall.rungs] == [pytest.approx(at, abs=0.25) for at in (0.2, 0.3, 1.3)]
    assert not ladder.late


def test_a_run_that_ends_in_its_grace_time_is_left_alone() -> None:
    """No signal comes after the end."""
    with CancelSource() as source:
        fall = Fall()
        with Termination(source, fall, seconds=60, grace=0.1, term=0.1) as ladder:
            source.cancel("the test says so")
            time.sleep(0.02)
        time.sleep(0.3)

    assert fall.rungs == []
    assert ladder.asked is not None
    assert ladder.killed is None


def test_the_time_limit_sets_the_token_first() -> None:
    """F-R5: it is a cancel like any other, and the ladder remembers that it was the limit."""
    with CancelSource() as source:
        fall = Fall()
        with Termination(source, fall, seconds=0.05, grace=60, term=60) as ladder:
            time.sleep(0.3)
        token = source.token()

        assert token.reason == "the time limit of this filter"
        assert ladder.late
        assert fall.rungs == []


def test_a_run_that_nobody_cancels_is_never_asked() -> None:
    """And the ladder costs its end nothing."""
    with CancelSource() as source:
        fall = Fall()
        with Termination(source, fall, seconds=60, grace=0, term=0) as ladder:
            pass

    assert (fall.rungs, ladder.asked, ladder.late) == ([], None, False)
    assert time.monotonic() - fall.begun < 1
