"""How a job ends: the outcome table of ws-dsp.md section 8, row by row (DSP-070)."""

from __future__ import annotations

import pytest
from some_jobs import AT, PAGE, new_job, outcome

from postscan.core.model.states import FilterReason, FilterState, FilterVerb, JobReason, JobState


def ran(job, verb, position, reasons=()):
    """Let one filter of a job run and end."""
    job.start(position, AT)
    job.report(position, verb, AT, reasons)


def claimed(**options):
    """Make a job that an executor has just taken."""
    job = new_job(**options)
    job.receive(PAGE, AT)
    job.end(AT)
    job.claim(AT)
    return job


def test_every_filter_succeeded():
    """Completed, and successfully."""
    job = claimed()
    ran(job, FilterVerb.SUCCEED, 0)
    ran(job, FilterVerb.SUCCEED, 1)
    job.finish(AT)

    assert outcome(job) == (JobState.COMPLETED, (JobReason.SUCCEEDED,), [FilterState.SUCCEEDED] * 2)


def test_warnings_only():
    """One warning colours the whole job."""
    job = claimed()
    ran(job, FilterVerb.WARN, 0)
    ran(job, FilterVerb.SUCCEED, 1)
    job.finish(AT)

    assert outcome(job) == (
        JobState.COMPLETED,
        (JobReason.WARNINGS,),
        [FilterState.WARNINGS, FilterState.SUCCEEDED],
    )


def test_a_filter_error_and_going_on():
    """Completed with errors; the others ran, and an error counts more than a warning."""
    job = claimed(continue_on_error=True)
    ran(job, FilterVerb.FAIL, 0, (FilterReason.FILE_SHARE_ACCESS_DENIED,))
    ran(job, FilterVerb.WARN, 1)
    job.finish(AT)

    assert outcome(job) == (JobState.COMPLETED, (JobReason.ERRORS,), [FilterState.ERRORS, FilterState.WARNINGS])
    assert job.steps[0].reasons == ("FileShareAccessDenied",)


def test_a_filter_error_that_ends_the_job():
    """Aborted; the filter that did not run is Canceled (DSP-069, I18)."""
    job = claimed()
    ran(job, FilterVerb.FAIL, 0)
    job.fail(JobReason.PROCESSING_FAILED, AT)

    assert outcome(job) == (
        JobState.ABORTED,
        (JobReason.PROCESSING_FAILED,),
        [FilterState.ERRORS, FilterState.CANCELED],
    )


def test_cancelled():
    """Finished filters keep their state, the rest are Canceled (DSP-046)."""
    job = claimed(filters=3)
    ran(job, FilterVerb.SUCCEED, 0)
    job.start(1, AT)
    job.cancel(AT)
    job.finish(AT)

    assert outcome(job) == (
        JobState.CANCELED,
        (JobReason.CANCELED,),
        [FilterState.SUCCEEDED, FilterState.CANCELED, FilterState.CANCELED],
    )


def test_abandoned_while_creating():
    """Timed out, and no filter ran (DSP-071)."""
    job = new_job()
    job.expire(AT)

    assert outcome(job) == (JobState.ABORTED, (JobReason.TIMED_OUT,), [FilterState.CANCELED] * 2)


@pytest.mark.parametrize("reason", [JobReason.NO_VALID_INSTRUCTIONS, JobReason.SEND_IMAGE_FAILED])
def test_no_dialect_is_known_or_an_image_was_lost(reason):
    """Aborted before any filter ran."""
    job = new_job()
    job.fail(reason, AT)

    assert outcome(job) == (JobState.ABORTED, (reason,), [FilterState.CANCELED] * 2)


def test_no_images():
    """Completed with warnings, without one filter having run (O-11, DSP-044)."""
    job = new_job()
    job.end(AT)
    job.claim(AT)
    job.begin(AT)
    for step in list(job.steps):
        job.report(step.position, FilterVerb.WARN, AT)
    job.finish(AT)

    assert outcome(job) == (JobState.COMPLETED, (JobReason.WARNINGS,), [FilterState.WARNINGS] * 2)
    assert [step.attempt for step in job.steps] == [0, 0]
