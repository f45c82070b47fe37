"""The steps that stop a run: which comes when, and that none comes after the end."""

from __future__ import annotations

import time

import pytest

from postscan.core.filters.cancellation import CancelSource
from postscan.core.workers.termination import Termination


class Steps:
    """Records when each step was taken."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.taken: list[tuple[str, float]] = []

    def terminate(self) -> None:
        """Record it."""
        self._record("terminate")

    def kill(self) -> None:
        """Record it."""
        self._record("kill")

    def force_kill(self) -> None:
        """Record it."""
        self._record("force_kill")

    def _record(self, step: str) -> None:
        self.taken.append((step, time.monotonic() - self.begun))


def test_the_steps_come_one_after_another_each_when_its_time_is_up() -> None:
    """Promise 4: grace, term, and then the supervisor's own moment."""
    with CancelSource() as source:
        steps = Steps()
        with Termination(source, steps, seconds=60, grace=0.2, term=0.1) as termination:
            source.cancel("the test says so")
            time.sleep(1.7)

    assert [step for step, _ in steps.taken] == ["terminate", "kill", "force_kill"]
    assert [at for _, at in steps.taken] == [pytest.approx(at, abs=0.25) for at in (0.2, 0.3, 1.3)]
    assert not termination.late


def test_a_run_that_ends_in_its_grace_time_is_left_alone() -> None:
    """No signal comes after the end."""
    with CancelSource() as source:
        steps = Steps()
        with Termination(source, steps, seconds=60, grace=0.1, term=0.1) as termination:
            source.cancel("the test says so")
            time.sleep(0.02)
        time.sleep(0.3)

    assert steps.taken == []
    assert source.cancelled_at is not None
    assert termination.killed is None


def test_the_time_limit_sets_the_token_first() -> None:
    """F-R5: it is a cancel like any other, and `late` says that it was the limit."""
    with CancelSource() as source:
        steps = Steps()
        with Termination(source, steps, seconds=0.05, grace=60, term=60) as termination:
            time.sleep(0.3)
        token = source.token()

        assert token.reason == "the time limit of this filter"
        assert termination.late
        assert steps.taken == []


def test_a_run_that_is_not_cancelled_is_never_stopped() -> None:
    """And the termination does not delay its end."""
    with CancelSource() as source:
        steps = Steps()
        with Termination(source, steps, seconds=60, grace=0, term=0) as termination:
            pass

    assert (steps.taken, source.cancelled_at, termination.late) == ([], None, False)
    assert time.monotonic() - steps.begun < 1
