"""The steps that stop a run: which comes when, and that none comes after the end."""

from __future__ import annotations

import multiprocessing.connection
import time
from collections.abc import Sequence
from typing import Any

import pytest
from works import until

from postscan.core.filters.cancellation import CancelSource
from postscan.core.workers import termination
from postscan.core.workers.termination import Termination

LONG = 600.0


class Waits:
    """The waits of a termination: `begun` has the seconds of each, `passed` the sum of those that nothing has ended."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.passed = 0.0

    def real(self, watched: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Return what is ready of *watched*, at the latest after so many seconds."""
        return self._wait(watched, seconds, seconds)

    def virtual(self, watched: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Return what is ready of *watched* now."""
        return self._wait(watched, seconds, 0.0)

    def _wait(self, watched: Sequence[Any], seconds: float, really: float) -> Sequence[Any]:
        self.begun.append(seconds)
        ready = multiprocessing.connection.wait(watched, really)
        if not ready:
            self.passed += seconds
        return ready


class Steps:
    """Records each step, and how many seconds had passed in *waits* when it was taken."""

    def __init__(self, waits: Waits) -> None:
        self.taken: list[tuple[str, float]] = []
        self._waits = waits

    def terminate(self) -> None:
        """Record it."""
        self._record("terminate")

    def kill(self) -> None:
        """Record it."""
        self._record("kill")

    def kill_below(self) -> None:
        """Record it."""
        self._record("kill_below")

    def force_kill(self) -> None:
        """Record it."""
        self._record("force_kill")

    def _record(self, step: str) -> None:
        self.taken.append((step, self._waits.passed))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """The waits of the test's termination, which take their time."""
    waits = Waits()
    monkeypatch.setattr(termination, "wait", waits.real)
    return waits


def test_the_steps_come_one_after_another_each_when_its_time_is_up(
    waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 4: grace, term, and then the supervisor's own moment; its report may come later than the kill."""
    monkeypatch.setattr(termination, "wait", waits.virtual)
    steps = Steps(waits)
    with CancelSource() as source:
        source.cancel("the test says so")
        with Termination(source, steps, seconds=LONG, grace=0.2, term=0.1) as watched:
            until(lambda: len(steps.taken) == 4, "for all steps")

    assert steps.taken == [
        ("terminate", 0.2),
        ("kill", pytest.approx(0.3)),
        ("kill_below", pytest.approx(1.3)),
        ("force_kill", pytest.approx(5.3)),
    ]
    assert not watched.late


def test_a_run_that_ends_in_its_grace_time_is_left_alone(waits: Waits) -> None:
    """No signal comes after the end."""
    steps = Steps(waits)
    with CancelSource() as source:
        with Termination(source, steps, seconds=LONG, grace=LONG + 1, term=LONG) as watched:
            source.cancel("the test says so")
            until(lambda: waits.begun == [LONG, LONG + 1], "for the grace time to begin")

        assert source.cancelled_at is not None

    assert not watched._thread.is_alive()
    assert (steps.taken, watched.killed) == ([], None)


def test_the_time_limit_sets_the_token_first(waits: Waits) -> None:
    """F-R5: it is a cancel like any other, and `late` says that it was the limit."""
    steps = Steps(waits)
    with CancelSource() as source:
        with Termination(source, steps, seconds=0.05, grace=LONG, term=LONG) as watched:
            until(lambda: waits.begun == [0.05, LONG], "for the time limit")
        token = source.token()

        assert token.reason == "the time limit of this filter"
        assert watched.late
        assert steps.taken == []


def test_the_time_of_a_run_begins_when_its_worker_has_begun(waits: Waits) -> None:
    """F-R31: its start has a time of its own; a worker that says it again gains nothing."""
    steps = Steps(waits)
    with CancelSource() as source, Termination(source, steps, seconds=LONG, grace=0, term=0, start=LONG + 1) as watched:
        assert not watched.begun
        for _ in range(2):
            watched.begin()
        until(lambda: waits.begun == [LONG + 1, LONG], "for the time of the run to begin")

    assert (watched.begun, watched.late, steps.taken) == (True, False, [])


def test_a_run_that_does_not_begin_is_stopped_after_its_time_to_start(waits: Waits) -> None:
    """F-R31: and says that it had not begun."""
    steps = Steps(waits)
    with CancelSource() as source, Termination(source, steps, seconds=LONG, grace=LONG, term=0, start=0.05) as watched:
        until(lambda: waits.begun == [0.05, LONG], "for the time to start")

        assert source.cancelled

    assert (watched.begun, watched.late) == (False, True)


def test_a_run_that_is_not_cancelled_is_never_stopped(waits: Waits) -> None:
    """And the termination does not delay its end."""
    steps, begun = Steps(waits), time.monotonic()
    with CancelSource() as source, Termination(source, steps, seconds=LONG, grace=0, term=0) as watched:
        pass

    assert (steps.taken, source.cancelled_at, watched.late) == ([], None, False)
    assert time.monotonic() - begun < LONG / 2
