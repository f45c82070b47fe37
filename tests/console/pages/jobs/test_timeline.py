"""The timeline of a job: every event in a row, every bar on the scale, whatever the clock does."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from example_jobs import a_job
from hypothesis import given
from hypothesis import strategies as st

from postscan.console.pages.jobs.timeline import (
    MOST_TICKS,
    RowKind,
    Timeline,
    TimelineEnd,
    TimelineRow,
    ticks,
    timeline,
)
from postscan.core.model.events import FilterStateChanged, ImageReceived, JobEnded, JobStateChanged, to_record
from postscan.core.model.job import Job, JobDocument, Receipt, RunStatus
from postscan.core.model.records import Delivery, EventRow
from postscan.core.model.states import FilterState, FilterVerb, JobReason, JobState
from postscan.plugins.testing.runner import EXAMPLE_TIME

Make = Callable[..., Job]


def at(seconds: float) -> datetime:
    """Return a moment after the job was created."""
    return EXAMPLE_TIME + timedelta(seconds=seconds)


def rows_of(job: Job) -> list[EventRow]:
    """Return the events that a job has collected, as they are stored."""
    records = [(*to_record(event), event.at) for event in job.events]
    return [EventRow(number, job.token, kind, at, of) for number, (kind, of, at) in enumerate(records, 1)]


def drawn(job: Job, now: float = 60, deliveries: Sequence[Delivery] = ()) -> Timeline:
    """Return the timeline of a job so many seconds after its creation."""
    return timeline(job, rows_of(job), deliveries, at(now))


def begun(job: Job) -> Job:
    """Let a job receive two images in 5 seconds, wait for one, and start its first filter at 8."""
    job.receive(JobDocument(1, "png", 10, "0" * 64, "1"), at(2))
    job.receive(JobDocument(2, "png", 10, "0" * 64, "2"), at(4))
    job.end(at(5))
    job.claim(at(6))
    job.start(0, at(8))
    return job


def spans(found: Timeline) -> list[tuple[RowKind, float, float]]:
    """Return the bars with their kinds."""
    return [(row.kind, row.bar.begin, row.bar.end) for row in found.rows if row.bar is not None]


def filters(found: Timeline) -> list[TimelineRow]:
    """Return the rows of filters."""
    return [row for row in found.rows if row.step is not None]


def test_a_running_job_has_a_row_for_each_phase_and_filter(job: Make) -> None:
    """The filter that runs goes on until now; the one after it has no bar."""
    found = drawn(begun(job("urn:a", "urn:b")), now=20)

    assert spans(found) == [
        (RowKind.RECEIVING, 0, 5),
        (RowKind.WAITING, 5, 6),
        (RowKind.STARTING, 6, 8),
        (RowKind.RUN, 8, 20),
    ]
    assert found.rows[0].images == 2
    assert [(row.kind, row.open, row.end) for row in filters(found)] == [
        (RowKind.RUN, True, TimelineEnd.OPEN),
        (RowKind.NOT_RUN, False, None),
    ]
    assert found.seconds == 20


def test_a_cancel_has_a_row_from_its_commit_to_the_end_of_the_job(job: Make) -> None:
    """When it was stored, and when nothing ran any more."""
    made = begun(job("urn:a", "urn:b"))
    made.cancel(at(10))
    made.report(0, FilterVerb.CANCEL, at(10.4), receipt=Receipt(RunStatus.STOPPED, 9, 0.1, 0.4))
    made.fail(JobReason.PROCESSING_FAILED, at(10.5))

    found = drawn(made)

    assert spans(found)[3:] == [(RowKind.RUN, 8, 10.4), (RowKind.CANCELING, 10, 10.5), (RowKind.END, 10.5, 10.5)]
    assert [row.end for row in filters(found)] == [TimelineEnd.CANCELED, TimelineEnd.CANCELED]
    assert not any(row.open for row in found.rows)


@pytest.mark.parametrize(
    ("crashes", "suspended", "end"),
    [(1, False, TimelineEnd.DIED), (0, True, TimelineEnd.SUSPENDED)],
)
def test_each_run_of_a_filter_has_a_row(job: Make, crashes: int, suspended: bool, end: TimelineEnd) -> None:
    """The first one ended without a report: by a crash, or by the stop of its server."""
    made = begun(job())
    if suspended:
        made.suspend(0)
    made.start(0, at(12))
    made.report(0, FilterVerb.SUCCEED, at(15))
    made.finish(at(15))

    assert [(row.attempt, row.end, row.last) for row in filters(drawn(made))] == [
        (1, end, False),
        (2, TimelineEnd.SUCCEEDED, True),
    ]
    assert made.steps[0].crashes == crashes


def test_a_last_run_that_died_is_not_counted_for_the_ones_before_it(job: Make) -> None:
    """The server was stopped in the first run; the second one died and was the last."""
    made = begun(job())
    made.suspend(0)
    made.start(0, at(12))
    made.report(0, FilterVerb.FAIL, at(15), receipt=Receipt(RunStatus.DIED))

    assert [row.end for row in filters(drawn(made))] == [TimelineEnd.SUSPENDED, TimelineEnd.FAILED]


def test_deliveries_are_marks_in_the_last_run_of_their_filter(job: Make) -> None:
    """At the time of their grant."""
    given = Delivery(0, None, "/srv", "a.pdf", True, at(9))

    found = drawn(begun(job("urn:a", "urn:b")), deliveries=[given])

    assert [(row.deliveries, row.marks) for row in filters(found)] == [((given,), (9,)), ((), ())]


def test_a_clock_that_was_set_back_moves_no_bar_to_the_left(job: Make) -> None:
    """The order of the commits is the order of the timeline."""
    made = job()
    made.end(at(50))
    made.claim(at(-3600))
    made.start(0, at(-3599))

    assert spans(drawn(made, now=-3000)) == [
        (RowKind.RECEIVING, 0, 50),
        (RowKind.WAITING, 50, 50),
        (RowKind.STARTING, 50, 50),
        (RowKind.RUN, 50, 50),
    ]


MOMENTS = st.floats(-1e6, 1e6).map(at)
HAPPENED = st.one_of(
    st.builds(JobStateChanged, st.sampled_from([str(one) for one in JobState]), st.just(()), MOMENTS),
    st.builds(
        FilterStateChanged, st.integers(0, 3), st.sampled_from([str(one) for one in FilterState]), st.just(()), MOMENTS
    ),
    st.builds(ImageReceived, st.integers(1, 9), st.just(1), st.just(""), MOMENTS),
    st.builds(JobEnded, st.just("Canceled"), st.just(()), MOMENTS),
)
GIVEN = st.builds(
    Delivery, st.integers(0, 3), st.none(), st.just("/srv"), st.just("a"), st.booleans(), st.none() | MOMENTS
)


@given(st.lists(HAPPENED), st.lists(GIVEN, max_size=4), st.sampled_from(JobState), st.none() | MOMENTS, MOMENTS)
def test_every_event_is_in_one_row_and_every_bar_on_the_scale(
    events: list[JobStateChanged],
    deliveries: list[Delivery],
    state: JobState,
    completed: datetime | None,
    now: datetime,
) -> None:
    """In any order, at any time, also where they contradict the job or each other."""
    made = replace(a_job(), state=state, completed=completed, created=EXAMPLE_TIME, events=list(events))

    found = timeline(made, rows_of(made), deliveries, now)

    assert Counter(seq for row in found.rows for seq in row.events) == Counter(range(1, len(events) + 1))
    assert found.seconds > 0
    for row in found.rows:
        assert row.bar is None or 0 <= row.bar.begin <= row.bar.end <= found.seconds
        assert all(0 <= mark <= found.seconds for mark in row.marks)
    assert {row.step.position for row in filters(found) if row.step} == {0, 1}


@given(st.floats(0.001, 1e9))
def test_a_scale_has_few_marks_at_round_numbers(seconds: float) -> None:
    """Two at least wherever the scale is longer than its smallest step, in equal distances, and none behind its end."""
    found = ticks(seconds)

    assert 1 <= len(found) <= MOST_TICKS
    assert found[0] == 0
    assert found[-1] <= seconds
    assert len(found) > 1
    assert len({round(second - first, 3) for first, second in itertools.pairwise(found)}) == 1
