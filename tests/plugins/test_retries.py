"""The retry policy of the shipped filters: which attempts there are, and what ends them."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from postscan.core.filters.cancellation import CancellationToken, Cancelled, CancelSource
from postscan.plugins import Filter, FilterFailed, FilterReason
from postscan.plugins.retries import TryAgainLater, attempts, fixed_pauses, growing_pauses
from postscan.plugins.testing import job_for


class Nothing(Filter):
    """Does nothing."""

    dialect = "urn:x-nothing"
    title = "Nothing"

    def run(self, job, token):
        """Return at once."""


class Recorded:
    """A token that records the pauses instead of waiting."""

    def __init__(self):
        self.pauses = []

    def wait(self, seconds):
        """Record a pause."""
        self.pauses.append(round(seconds, 3))

    def check(self):
        """Go on."""


@pytest.fixture
def job():
    """A job whose pauses are recorded."""
    with job_for(Nothing(), []) as job:
        yield replace(job, token=Recorded())


def failing(*errors):
    """Return a step that raises these errors in turn, and then returns `done`."""
    left = list(errors)

    def step():
        if left:
            raise left.pop(0)
        return "done"

    return step


def test_an_operation_is_attempted_until_it_succeeds(job):
    """Each pause is logged with what was wrong."""
    busy = TryAgainLater("it is busy")

    assert attempts(job, growing_pauses(0.5, factor=5), most=4)(failing(busy, busy, busy)) == "done"
    assert job.token.pauses == [0.5, 2.5, 12.5]
    assert job.parent.lines[0] == ("warning", "it is busy; next attempt in 0.5 s")


def test_pauses_grow_up_to_the_longest(job):
    """Then they stay as long."""
    attempts(job, growing_pauses(1, factor=2, longest=3), most=9)(failing(*[TryAgainLater("busy")] * 4))

    assert job.token.pauses == [1, 2, 3, 3]


def test_the_last_attempt_fails_with_the_reason_of_its_error(job):
    """And the message names the limit."""
    busy = TryAgainLater("it is busy", reason=FilterReason.UNABLE_TO_SEND_EMAIL)

    with pytest.raises(FilterFailed, match="it is busy; given up: the limit is 3 attempts") as raised:
        attempts(job, fixed_pauses(1, 2, 3), most=3)(failing(*[busy] * 3))

    assert raised.value.reasons == ("UnableToSendEmail",)
    assert job.token.pauses == [1, 2]


def test_a_pause_that_the_server_asks_for_is_kept(job):
    """It replaces one of ours and does not change the others."""
    errors = [TryAgainLater("busy"), TryAgainLater("busy", after=7), TryAgainLater("busy")]

    attempts(job, growing_pauses(1, factor=2), seconds=60)(failing(*errors))

    assert job.token.pauses == [1, 7, 4]


def test_a_pause_beyond_the_limit_ends_the_attempts(job):
    """No time is spent on it."""
    with pytest.raises(FilterFailed, match="busy; it asks for a pause of 11 s; given up: the limit is 10 s"):
        attempts(job, growing_pauses(1, factor=2), seconds=10)(failing(TryAgainLater("busy", after=11)))

    assert job.token.pauses == []


def test_the_seconds_count_from_the_first_failure(job):
    """The first attempt may take longer than all of them: a silent server gets a second attempt."""

    def slow():
        time.sleep(0.2)
        raise TryAgainLater("silent")

    with pytest.raises(FilterFailed):
        attempts(job, fixed_pauses(0.05), seconds=0.1)(slow)

    assert job.token.pauses == [0.05]


@pytest.mark.parametrize("error", [ValueError("no"), Cancelled("stop"), FilterFailed(detail="no")])
def test_any_other_error_passes_through(job, error):
    """At once, and as it is."""
    with pytest.raises(type(error)) as raised:
        attempts(job, fixed_pauses(1), most=5)(failing(TryAgainLater("busy"), error))

    assert raised.value is error
    assert job.token.pauses == [1]


def test_a_cancel_ends_a_pause_at_once():
    """And no further attempt begins."""
    begun = []

    with job_for(Nothing(), []) as job, CancelSource(patience=5) as source:
        cancelling = threading.Timer(0.2, source.cancel, ["stop"])

        def step():
            begun.append(time.monotonic())
            cancelling.start()
            raise TryAgainLater("busy")

        with pytest.raises(Cancelled):
            attempts(replace(job, token=CancellationToken.open(source.page)), fixed_pauses(60), most=5)(step)
        cancelling.join()

    assert len(begun) == 1
    assert time.monotonic() - begun[0] < 60
