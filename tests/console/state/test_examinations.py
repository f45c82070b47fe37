"""The checks of the doctor for pages: one examination at a time, remembered, and no page waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from works import PATIENCE, until

from postscan.console.state.examinations import MACHINE_SECONDS, Examinations
from postscan.doctor.findings import Finding, ok, problem
from postscan.plugins.testing.runner import EXAMPLE_TIME, FakeClock

MACHINE = ok("clock", "is right")


class Checks:
    """Checks that end when they are let go; `begun` counts how often they were run."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = threading.Event()

    def __call__(self) -> Iterator[Finding]:
        """Find one problem."""
        self.begun += 1
        assert self.go.wait(PATIENCE)
        yield problem("plugins", "one is broken", "mend it")


def test_an_examination_runs_beside_the_pages_and_one_at_a_time() -> None:
    """A second request does not begin another one; what was found is remembered with its time."""
    checks = Checks()
    examinations = Examinations(checks, lambda: [MACHINE], FakeClock())
    begun = [examinations.begin(), examinations.begin()]
    running, before = examinations.running, examinations.current()
    checks.go.set()
    until(lambda: examinations.running is None)

    assert begun == [True, False]
    assert checks.begun == 1
    assert running is not None
    assert before == (MACHINE,)
    assert [one.check for one in examinations.current()] == ["clock", "plugins"]
    assert examinations.last is not None
    assert examinations.last.ended == EXAMPLE_TIME


def test_another_one_may_begin_after_the_end() -> None:
    """It replaces what the one before has found."""
    checks = Checks()
    checks.go.set()
    examinations = Examinations(checks, lambda: [MACHINE], FakeClock())
    for number in (1, 2):
        assert examinations.begin()
        until(lambda: examinations.running is None)

        assert checks.begun == number
        assert len(examinations.current()) == 2


def test_an_examination_that_fails_is_a_finding_without_the_text_of_the_error() -> None:
    """The text may have what nobody has redacted; the next examination can begin."""

    def fail() -> Iterator[Finding]:
        yield ok("server", "runs")
        raise RuntimeError("correct-horse-battery")

    examinations = Examinations(fail, list, FakeClock())
    examinations.begin()
    until(lambda: examinations.running is None)
    found = examinations.current()

    assert [(one.check, one.severity) for one in found] == [("server", "ok"), ("examination", "problem")]
    assert "correct-horse" not in str(found)


def test_the_checks_of_this_machine_are_run_once_a_minute() -> None:
    """However many pages show them."""
    clock, runs = FakeClock(), []
    examinations = Examinations(lambda: (), lambda: runs.append(1) or [MACHINE], clock)
    for _ in range(5):
        examinations.current()
    clock.advance(MACHINE_SECONDS)
    examinations.current()

    assert len(runs) == 2
