"""The kit with which filters are tested."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from postscan.core.filters.filter import Filter
from postscan.core.filters.results import FilterFailed
from postscan.core.model.states import FilterState
from postscan.plugins.testing.runner import EXAMPLE_TIME, FakeClock, run_filter


class Does(Filter):
    """Do what a test says."""

    dialect = "urn:test:does"
    title = "Does"
    grace = 3.0

    def __init__(self, what):
        self.what = what

    def run(self, job, token):
        return self.what(job, token)


def test_a_cancel_comes_exactly_at_the_check_that_was_named():
    """Two pass, the third raises."""
    passed = []

    def look(job, token):
        while True:
            token.check()
            passed.append(1)

    result = run_filter(Does(look), [], cancel_at=3)

    assert result.outcome is FilterState.CANCELED
    assert (len(passed), result.checks.number) == (2, 3)


def test_the_token_knows_the_grace_of_the_filter():
    """The deadline is what the server would set."""
    deadlines = []

    def look(job, token):
        _ = token.cancelled
        deadlines.append(token.deadline)

    began = time.monotonic()
    run_filter(Does(look), [], cancel_at=1)

    assert began + 3.0 <= deadlines[0] <= time.monotonic() + 3.0


def test_a_nap_is_one_check():
    """However long it is, so that a sweep over all checks stays short; a cancelled one does not sleep at all."""
    asleep = run_filter(Does(lambda job, token: token.wait(0.05) and None), [])
    began = time.monotonic()
    run_filter(Does(lambda job, token: token.wait(30) and None), [], cancel_at=1)

    assert asleep.checks.number == 1
    assert time.monotonic() - began < 30


def test_a_failure_becomes_the_outcome():
    """With its reasons and its sentence."""

    def fail(job, token):
        raise FilterFailed("x:own", "no paper; expected A4", "InvalidArgs")

    result = run_filter(Does(fail), [])

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("x:own", "InvalidArgs"))
    assert result.detail == "no paper; expected A4"


def test_a_defect_of_the_filter_comes_out_with_its_traceback():
    """An author wants to see it, not a state."""
    with pytest.raises(ZeroDivisionError):
        run_filter(Does(lambda job, token: 1 / 0), [])


def test_what_the_filter_says_is_kept():
    """Log lines and progress, as the server would get them."""

    def speak(job, token):
        job.log("half way", level="warning")
        job.progress(1, 2, "pages")

    result = run_filter(Does(speak), [])

    assert result.log == [("warning", "half way")]
    assert result.progress == [(1, 2, "pages")]


def test_the_private_folder_is_there_during_the_run_and_gone_after_it():
    """As in a worker."""
    folders = []

    def look(job, token):
        folders.append((job.workdir, job.workdir.is_dir()))

    run_filter(Does(look), [])
    folder, was_there = folders[0]

    assert was_there
    assert not folder.exists()


def test_settings_are_made_as_the_server_makes_them():
    """Of the declared dataclass; the plain table if there is none."""

    @dataclass
    class Colour:
        colour: str = "red"

    class Painted(Does):
        Settings = Colour

    seen = []
    run_filter(Painted(lambda job, token: seen.append(job.settings)), [], settings={"colour": "blue"})
    run_filter(Painted(lambda job, token: seen.append(job.settings)), [])
    run_filter(Does(lambda job, token: seen.append(job.settings)), [], settings={"a": 1})

    assert seen == [Colour("blue"), Colour("red"), {"a": 1}]


def test_a_file_of_no_known_format_is_refused(tmp_path):
    """With the suffixes that are known."""
    path = tmp_path / "page.docx"
    path.write_bytes(b"")

    with pytest.raises(ValueError, match=r"page\.docx: .* expected one of .*\.png"):
        run_filter(Does(lambda job, token: None), [path])


def test_a_clock_moves_only_when_it_is_told_to():
    """Both times together."""
    clock = FakeClock()
    before = clock.now(), clock.ticks()
    clock.advance(90)

    assert before[0] == EXAMPLE_TIME
    assert (clock.now() - before[0]).total_seconds() == clock.ticks() - before[1] == 90
