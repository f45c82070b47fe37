"""Turns of a job: who begins one changes the job, and the runs of earlier turns change nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from postscan.core.errors import Overtaken
from postscan.core.model.job import Job, JobToken, JobTurn
from postscan.core.model.records import Delivery
from postscan.core.model.states import FilterState, JobReason, JobState
from postscan.core.store.cluster.turns import JobInProgress
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME

OUTPUT = Delivery(0, 1, "/srv/scans", "a.pdf", published=False)


@pytest.fixture
def first(store: Store, job: Callable[..., Job]) -> JobTurn:
    """The first turn of a job whose filter runs."""
    made = job()
    store.insert(made)
    with store.change(made.token) as stored:
        stored.end(EXAMPLE_TIME)
    store.claim(EXAMPLE_TIME, "first")
    with store.change(made.token) as stored:
        stored.start(0, EXAMPLE_TIME)
    return JobTurn(made.token, 1)


def in_progress(store: Store) -> JobInProgress:
    """Return the one job in progress."""
    [found] = store.jobs_in_progress()
    return found


def test_a_claim_and_each_resumption_begin_a_turn_of_their_holder(store: Store, first: JobTurn) -> None:
    """The row has both; no event is stored, and the version that subscribers see does not change."""
    before = store.load(first.token)
    claimed = in_progress(store)
    second = store.resume(claimed, "second")

    assert claimed == (first.token, JobState.PROCESSING, "first", 1)
    assert second == JobTurn(first.token, 2)
    assert in_progress(store) == (first.token, JobState.PROCESSING, "second", 2)
    assert store.load(first.token).version == before.version


def test_of_two_processes_that_resume_a_job_one_does(store: Store, first: JobTurn) -> None:
    """Both have seen the same turn."""
    seen = in_progress(store)

    assert store.resume(seen, "second") == JobTurn(first.token, 2)
    assert store.resume(seen, "third") is None
    assert in_progress(store).holder == "second"


def test_a_job_that_has_ended_is_not_resumed(store: Store, first: JobTurn) -> None:
    """Its holder ended it after it was seen in progress."""
    seen = in_progress(store)
    with store.change(first.token) as job:
        job.fail(JobReason.PROCESSING_FAILED, EXAMPLE_TIME)

    assert store.resume(seen, "second") is None


def test_a_run_that_was_stopped_in_order_counts_as_no_crash(store: Store, first: JobTurn) -> None:
    """Its process knows that, also if it could not store it then."""
    crashed = store.load(first.token).steps[0].crashed

    store.resume(in_progress(store), "second", suspended=True)

    [step] = store.load(first.token).steps
    assert (crashed, step.crashed, step.attempt) == (1, 0, 1)


def test_the_run_of_an_earlier_turn_changes_nothing(store: Store, first: JobTurn) -> None:
    """Its attempt is the same: the next one has not begun yet."""
    assert store.grant(first, 0, 1, OUTPUT, EXAMPLE_TIME)
    store.resume(in_progress(store), "second")
    before = store.load(first.token)

    store.record_progress(first, 0, "9/9 pages")
    store.confirm(first, 0, OUTPUT._replace(published=True))
    store.confirm(first, 0, OUTPUT)
    with pytest.raises(Overtaken), store.change(first.token, turn=first.turn) as late:
        late.fail(JobReason.PROCESSING_FAILED, EXAMPLE_TIME)
    with pytest.raises(Overtaken):
        store.grant(first, 0, 1, OUTPUT._replace(document=2), EXAMPLE_TIME)

    assert store.load(first.token) == before
    assert [(one.document, one.published) for one in store.deliveries(first.token)] == [(1, False)]


def test_the_run_of_the_current_turn_changes_its_job(store: Store, first: JobTurn) -> None:
    """The same calls with the next turn."""
    store.resume(in_progress(store), "second")
    second = JobTurn(JobToken(first.token), 2)

    store.record_progress(second, 0, "9/9 pages")
    assert store.grant(second, 0, 1, OUTPUT, EXAMPLE_TIME)
    store.confirm(second, 0, OUTPUT._replace(published=True))
    with store.change(first.token, turn=2) as job:
        job.fail(JobReason.PROCESSING_FAILED, EXAMPLE_TIME)

    found = store.load(first.token)
    assert (found.state, found.steps[0].progress) == (JobState.ABORTED, "9/9 pages")
    assert found.steps[0].state is FilterState.CANCELED
    assert [one.published for one in store.deliveries(first.token)] == [True]
