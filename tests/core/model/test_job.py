"""The job and its verbs."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_jobs import ANNA, AT, PAGE, new_job, outcome

from postscan.core.errors import InvalidArgument, JobCanceled, WrongState
from postscan.core.model.events import JobEnded, JobStateChanged
from postscan.core.model.job import Job, Receipt, RunStatus
from postscan.core.model.principal import User
from postscan.core.model.process import Instructions, ScanProcess
from postscan.core.model.states import TRANSITIONS, FilterReason, FilterState, FilterVerb, JobReason, JobState


def job_in(state):
    """Make a job with one page and lead it to *state*."""
    job = new_job()
    job.receive(PAGE, AT)
    if state is JobState.CREATING:
        return job
    job.end(AT)
    if state is JobState.HELD:
        job.hold(AT)
    if state in (JobState.PENDING, JobState.HELD):
        return job
    job.claim(AT)
    if state is JobState.STARTED:
        return job
    job.start(0, AT)
    if state in (JobState.TERMINATING, JobState.CANCELED):
        job.cancel(AT)
    if state in (JobState.COMPLETED, JobState.CANCELED):
        job.finish(AT)
    if state is JobState.ABORTED:
        job.fail(JobReason.PROCESSING_FAILED, AT)
    return job


def test_a_new_job_is_creating_and_says_so():
    """Its first event tells of it (DSP-063); its filters wait in the order of the instructions."""
    job = new_job(filters=3)

    assert job.state is JobState.CREATING
    assert job.events == [JobStateChanged("Creating", (), AT)]
    assert [step.dialect for step in job.steps] == ["urn:filter:0", "urn:filter:1", "urn:filter:2"]


def test_documents_are_ordered_by_their_ids():
    """Whatever the order in which they came (O-21, DSP-034)."""
    job = new_job()
    for id in (7, 2, 5):
        job.receive(replace(PAGE, id=id), AT)

    assert [document.id for document in job.documents] == [2, 5, 7]
    assert job.images_received == 3


def test_an_identical_resend_is_no_second_image():
    """It succeeds, changes nothing, and no event tells of it (O-9, DSP-032, DSP-036)."""
    job = new_job()
    first = job.receive(PAGE, AT)
    events = list(job.events)
    again = job.receive(replace(PAGE, blob="another-blob"), AT)

    assert (first, again) == (True, False)
    assert job.documents == [PAGE]
    assert job.events == events


@pytest.mark.parametrize("change", [{"sha256": "bb"}, {"format": "jfif"}])
def test_other_bytes_under_a_known_id_are_refused(change):
    """The error names DocumentId, and the first image stays (DSP-035)."""
    job = new_job()
    job.receive(PAGE, AT)

    with pytest.raises(InvalidArgument, match="DocumentId: '1'"):
        job.receive(replace(PAGE, **change), AT)
    assert job.documents == [PAGE]


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.CREATING])
def test_no_image_comes_after_the_end(state):
    """Refused in every other state, by another error if the job was cancelled (O-8, DSP-039)."""
    job = job_in(state)
    canceled = state in (JobState.TERMINATING, JobState.CANCELED)

    with pytest.raises(WrongState) as caught:
        job.receive(replace(PAGE, id=2), AT)
    assert isinstance(caught.value, JobCanceled) is canceled
    assert job.documents == [PAGE]


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.HELD, JobState.STARTED, JobState.PROCESSING])
def test_a_second_end_does_no_harm_while_the_job_is_active(state):
    """A retry after a lost answer (O-12)."""
    job = job_in(state)
    events = list(job.events)

    assert job.end(AT) is False
    assert (job.state, job.events) == (state, events)


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (JobState.COMPLETED, WrongState),
        (JobState.ABORTED, WrongState),
        (JobState.TERMINATING, JobCanceled),
        (JobState.CANCELED, JobCanceled),
    ],
)
def test_an_end_comes_too_late(state, error):
    """On an ended or cancelled job it is refused (O-12)."""
    with pytest.raises(WrongState) as caught:
        job_in(state).end(AT)
    assert type(caught.value) is error


def test_a_held_job_goes_on_when_released():
    """Hold and release lead there and back."""
    job = job_in(JobState.HELD)
    job.release(AT)

    assert job.state is JobState.PENDING
    assert job.reasons == ()


@pytest.mark.parametrize("state", [JobState.CREATING, JobState.PENDING, JobState.HELD])
def test_a_cancel_ends_a_waiting_job_at_once(state):
    """Nothing runs, so there is nothing to wait for."""
    job = job_in(state)
    job.cancel(AT)

    assert outcome(job) == (JobState.CANCELED, (JobReason.CANCELED,), [FilterState.CANCELED] * 2)


@pytest.mark.parametrize("state", [JobState.STARTED, JobState.PROCESSING])
def test_a_cancel_of_a_running_job_waits_for_its_filters(state):
    """It is Terminating, with the reason of the cancel, until the pipeline closes it."""
    job = job_in(state)
    job.cancel(AT)

    assert (job.state, job.reasons, job.completed) == (JobState.TERMINATING, (JobReason.CANCELED,), None)


def test_a_second_cancel_changes_nothing():
    """Neither state nor events: one end event, whoever asks how often (I8)."""
    job = job_in(JobState.TERMINATING)
    events = list(job.events)
    job.cancel(AT)

    assert (job.state, job.events) == (JobState.TERMINATING, events)


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.ABORTED, JobState.CANCELED])
def test_an_ended_job_cannot_be_cancelled(state):
    """The cancel came too late (O-13)."""
    with pytest.raises(WrongState):
        job_in(state).cancel(AT)


def test_no_filter_starts_after_a_cancel():
    """`start` says so and leaves the filter as it was (promise 3, I14, DSP-047)."""
    job = job_in(JobState.STARTED)
    job.cancel(AT)

    assert job.start(0, AT) is False
    assert job.steps[0].state is FilterState.PENDING
    assert job.steps[0].attempt == 0


@pytest.mark.parametrize("close", [Job.finish, lambda job, at: job.fail(JobReason.PROCESSING_FAILED, at)])
def test_whatever_a_worker_reports_after_a_cancel_the_job_is_canceled(close):
    """The worker need not know that it was raced (promise 5)."""
    job = job_in(JobState.TERMINATING)
    close(job, AT)

    assert (job.state, job.reasons) == (JobState.CANCELED, (JobReason.CANCELED,))


def test_each_start_of_a_filter_counts():
    """The attempt is the fencing number (D13): a run again after a crash is the second."""
    job = job_in(JobState.STARTED)
    attempts = []
    for _ in range(3):
        job.start(0, AT)
        attempts.append(job.steps[0].attempt)

    assert attempts == [1, 2, 3]
    assert job.steps[0].state is FilterState.PROCESSING


def test_a_run_without_an_end_is_a_crash_unless_it_was_suspended():
    """D13: three of those are the limit, and an orderly stop is none."""
    job = job_in(JobState.STARTED)
    counts = []
    for suspended in (False, True, True, False):
        job.start(0, AT)
        if suspended:
            job.suspend(0)
        counts.append((job.steps[0].attempt, job.steps[0].crashes, job.steps[0].crashed))

    assert counts == [(1, 0, 1), (2, 1, 1), (3, 1, 1), (4, 1, 2)]
    job.report(0, FilterVerb.FAIL, AT, receipt=Receipt(RunStatus.DIED))
    assert job.steps[0].crashes == job.steps[0].crashed == 2


def test_a_filter_that_failed_without_a_reason_has_the_unknown_one():
    """An error always has a reason on the wire (PSP-030)."""
    job = job_in(JobState.PROCESSING)
    job.report(0, FilterVerb.FAIL, AT, detail="it broke")

    assert job.steps[0].reasons == (FilterReason.UNKNOWN_ERROR,)
    assert job.steps[0].detail == "it broke"


def test_a_filter_that_ended_cannot_end_again():
    """Its result never changes (I7, I22)."""
    job = job_in(JobState.PROCESSING)
    job.report(0, FilterVerb.SUCCEED, AT)

    with pytest.raises(WrongState):
        job.report(0, FilterVerb.FAIL, AT)


def test_a_job_is_not_completed_before_it_was_created():
    """Even if the wall clock was set back meanwhile (I9)."""
    job = new_job()
    job.cancel(AT - timedelta(days=1))

    assert job.completed == AT


def test_checking_a_verb_changes_nothing():
    """A front end may ask before it takes the bytes."""
    job = job_in(JobState.CANCELED)
    before = replace(job, events=list(job.events))

    with pytest.raises(JobCanceled):
        job.check("receive")
    assert job == before


VERBS = {
    "receive": lambda job: job.receive(replace(PAGE, id=job.images_received + 1), AT),
    "end": lambda job: job.end(AT),
    "hold": lambda job: job.hold(AT),
    "release": lambda job: job.release(AT),
    "claim": lambda job: job.claim(AT),
    "start first": lambda job: job.start(0, AT),
    "start second": lambda job: job.start(1, AT),
    "succeed": lambda job: job.report(0, FilterVerb.SUCCEED, AT),
    "fail filter": lambda job: job.report(1, FilterVerb.FAIL, AT),
    "finish": lambda job: job.finish(AT),
    "fail": lambda job: job.fail(JobReason.PROCESSING_FAILED, AT),
    "expire": lambda job: job.expire(AT),
    "cancel": lambda job: job.cancel(AT),
}
FITTING = {
    JobReason.CANCELED: JobState.CANCELED,
    JobReason.SUCCEEDED: JobState.COMPLETED,
    JobReason.WARNINGS: JobState.COMPLETED,
    JobReason.ERRORS: JobState.COMPLETED,
    JobReason.TIMED_OUT: JobState.ABORTED,
    JobReason.PROCESSING_FAILED: JobState.ABORTED,
}


@given(st.lists(st.sampled_from(sorted(VERBS)), max_size=25))
def test_any_sequence_of_verbs_keeps_the_invariants(sequence):
    """Durable states are a path of the table, the end is final, told once and last, and its reason fits (I6 to I10)."""
    job = new_job()
    frozen = None
    for name in sequence:
        with contextlib.suppress(WrongState):
            VERBS[name](job)
        if job.state.ended and frozen is None:
            frozen = replace(job, steps=list(job.steps), events=list(job.events), documents=list(job.documents))
    told = [event.state for event in job.events if isinstance(event, JobStateChanged)]
    ends = [event for event in job.events if isinstance(event, JobEnded)]

    assert all(after in TRANSITIONS[before].values() for before, after in itertools.pairwise(told))
    assert told[-1] == job.state
    assert len(ends) == job.state.ended
    assert frozen is None or job == frozen
    if job.state.ended:
        assert job.events[-1] == ends[0]
        assert FITTING[job.reasons[0]] is job.state
        assert all(step.state.ended for step in job.steps)


def test_a_process_without_a_list_is_open_to_everybody():
    """An empty list of users means all."""
    process = ScanProcess("{ID}", "Invoices", "scan01", Instructions("Scan", ()))

    assert process.open_to(ANNA)


def test_a_process_with_a_list_is_open_to_those_on_it():
    """By SID or by name, compared exactly (T-O7)."""
    process = ScanProcess("{ID}", "Invoices", "scan01", Instructions("Scan", ()), frozenset({ANNA.sid, "ben@x"}))

    assert process.open_to(ANNA)
    assert process.open_to(User("S-1-5-9", "ben@x"))
    assert not process.open_to(User("S-1-5-9", "Ben@x"))


def test_values_are_frozen():
    """Only the job itself changes, and only through its verbs."""
    with pytest.raises(FrozenInstanceError):
        PAGE.size = 5
