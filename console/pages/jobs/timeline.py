"""The timeline of a job: its events, filters and deliveries as rows, each with a bar on one scale.

Pure. Events come in the order of their commits, and that is the order of the timeline: where the wall clock was set
back between two events, the later one counts as if it had come at the time of the earlier one. So a bar never has a
negative width, and the scale contains all bars.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from postscan.core.model.events import FilterStateChanged, ImageReceived, JobEnded, JobStateChanged
from postscan.core.model.job import FilterStep, Job, RunStatus
from postscan.core.model.records import Delivery, EventRow
from postscan.core.model.states import FilterState, JobState

MOST_TICKS: Final = 6
"""Marks of the scale, the one at its beginning included."""

_STEPS: Final = (
    *(digit * 10.0**power for power in range(-3, 1) for digit in (1, 2, 5)),
    *(10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0),
    *(3600.0 * hours for hours in (1, 2, 3, 6, 12, 24, 48, 96)),
)
_DAY: Final = 86400.0


class RowKind(StrEnum):
    """What a row of a timeline is about."""

    RECEIVING = "receiving"
    WAITING = "waiting"
    HELD = "held"
    STARTING = "starting"  # a server has the job, and no filter runs yet
    RUN = "run"  # one run of a filter
    NOT_RUN = "not-run"  # a filter that has no run
    CANCELING = "canceling"  # from the stored cancel to the end of the job
    END = "end"


class TimelineEnd(StrEnum):
    """How a run of a filter ended."""

    OPEN = "open"  # it has not ended
    SUCCEEDED = "succeeded"
    WARNINGS = "warnings"
    FAILED = "failed"
    CANCELED = "canceled"
    DIED = "died"  # its worker or its server ended without a report, and the filter was started again
    SUSPENDED = "suspended"  # its server was stopped, and the filter was started again
    LOST = "lost"  # one of these two: the job has both, and does not record which run was which


class TimelineBar(NamedTuple):
    """A span of time, in seconds from the beginning of the scale; `begin` is at most `end`."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One row: of a phase of the job, or of a filter.

    `bar` is None for a filter that did not run. `open` says that the bar goes on: it ends now. A row of a filter has
    its `step`, the number of its run and how the run ended; the last one has the deliveries of the filter, and their
    times on the scale as `marks`. `events` are the numbers of the events that the row shows, each in one row.
    """

    kind: RowKind
    bar: TimelineBar | None
    begun: datetime | None
    open: bool = False
    step: FilterStep | None = None
    attempt: int = 0
    end: TimelineEnd | None = None
    last: bool = True
    images: int = 0
    deliveries: tuple[Delivery, ...] = ()
    marks: tuple[float, ...] = ()
    events: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """The rows of a job on a scale of `seconds` from `begin` on; `ticks` are the marks of the scale in seconds."""

    begin: datetime
    seconds: float
    ticks: tuple[float, ...]
    rows: tuple[TimelineRow, ...]


def timeline(job: Job, events: Sequence[EventRow], deliveries: Sequence[Delivery], now: datetime) -> Timeline:
    """Return the timeline of a job at this moment."""
    drawn = _Drawing(job)
    for event in events:
        drawn.add(event)
    end = max(drawn.last, job.completed or now)
    rows = drawn.drawn_rows(end, deliveries)
    seconds = max((end - drawn.first).total_seconds(), _STEPS[0])
    return Timeline(drawn.first, seconds, ticks(seconds), rows)


def ticks(seconds: float) -> tuple[float, ...]:
    """Return the marks of a scale of so many seconds: at most `MOST_TICKS`, at round numbers, 0 first."""
    step = next((one for one in _STEPS if one * MOST_TICKS > seconds), None)
    if step is None:
        step = _DAY * (int(seconds / _DAY / MOST_TICKS) + 1)
    return tuple(round(number * step, 3) for number in range(MOST_TICKS) if number * step <= seconds)


_PHASES: Final = {
    JobState.CREATING: RowKind.RECEIVING,
    JobState.PENDING: RowKind.WAITING,
    JobState.HELD: RowKind.HELD,
    JobState.STARTED: RowKind.STARTING,
    JobState.TERMINATING: RowKind.CANCELING,
    JobState.COMPLETED: RowKind.END,
    JobState.ABORTED: RowKind.END,
    JobState.CANCELED: RowKind.END,
}
"""The row that a state begins; Processing begins none, since its filters have rows."""

_AFTER_FILTERS: Final = (RowKind.CANCELING, RowKind.END)

_ENDS: Final = {
    FilterState.SUCCEEDED: TimelineEnd.SUCCEEDED,
    FilterState.WARNINGS: TimelineEnd.WARNINGS,
    FilterState.ERRORS: TimelineEnd.FAILED,
    FilterState.CANCELED: TimelineEnd.CANCELED,
}


@dataclass(slots=True)
class _Span:
    """A row that is being made: since when, until when if it has ended, and the numbers of its events."""

    kind: RowKind
    begin: datetime
    end: datetime | None = None
    how: TimelineEnd | None = None
    images: int = 0
    events: list[int] = field(default_factory=list)


class _Drawing:
    """Collects the events of a job in rows."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._phases: list[_Span] = []
        self._runs: dict[int, list[_Span]] = {step.position: [] for step in job.steps}
        self._without: dict[int, list[int]] = {step.position: [] for step in job.steps}
        self.first = self.last = job.created

    def add(self, event: EventRow) -> None:
        """Put an event into its row, which it may begin or end."""
        at = self.last = max(self.last, event.at)
        match event.kind:
            case JobStateChanged.__name__:
                self._change(JobState(event.fields["state"]), at, event.seq)
            case FilterStateChanged.__name__:
                self._change_filter(event.fields["position"], FilterState(event.fields["state"]), at, event.seq)
            case ImageReceived.__name__:
                phase = self._phase(at)
                phase.images += 1
                phase.events.append(event.seq)
            case JobEnded.__name__:
                self._end(at, event.seq)
            case _:
                self._phase(at).events.append(event.seq)

    def drawn_rows(self, end: datetime, deliveries: Iterable[Delivery]) -> tuple[TimelineRow, ...]:
        """Return all rows; those that have not ended end at *end*, which is now or the end of the job."""
        given = list(deliveries)
        before = [one for one in self._phases if one.kind not in _AFTER_FILTERS]
        after = [one for one in self._phases if one.kind in _AFTER_FILTERS]
        return (
            *(self._row(one, end) for one in before),
            *(row for step in self._job.steps for row in self._filter(step, end, given)),
            *(self._row(one, end) for one in after),
        )

    def _phase(self, at: datetime) -> _Span:
        """Return the last row of a phase; make the first if there is none."""
        if not self._phases:
            self._phases.append(_Span(RowKind.RECEIVING, at))
        return self._phases[-1]

    def _change(self, state: JobState, at: datetime, seq: int) -> None:
        kind = _PHASES.get(state)
        if self._phases and self._phases[-1].end is None:
            self._phases[-1].end = at
        if kind is None:
            self._phase(at).events.append(seq)
        else:
            self._phases.append(_Span(kind, at, at if state.ended else None, events=[seq]))

    def _end(self, at: datetime, seq: int) -> None:
        if not self._phases or self._phases[-1].kind is not RowKind.END:
            self._change(self._job.state if self._job.state.ended else JobState.ABORTED, at, seq)
        else:
            self._phases[-1].events.append(seq)

    def _change_filter(self, position: int, state: FilterState, at: datetime, seq: int) -> None:
        runs = self._runs.get(position)
        if runs is None:
            self._phase(at).events.append(seq)
        elif state is FilterState.PROCESSING:
            if runs and runs[-1].end is None:
                runs[-1].end = at
            runs.append(_Span(RowKind.RUN, at, events=[*self._without[position], seq]))
            self._without[position].clear()
        elif runs:
            runs[-1].end, runs[-1].how = at, _ENDS.get(state)
            runs[-1].events.append(seq)
        else:
            self._without[position].append(seq)

    def _filter(self, step: FilterStep, end: datetime, deliveries: Sequence[Delivery]) -> Iterable[TimelineRow]:
        runs = self._runs[step.position]
        if not runs:
            how = _ENDS.get(step.state)
            seqs = tuple(self._without[step.position])
            yield TimelineRow(RowKind.NOT_RUN, None, None, step=step, end=how, events=seqs)
            return
        lost = _lost(step, len(runs) - 1)
        given = tuple(one for one in deliveries if one.position == step.position)
        for number, run in enumerate(runs, 1):
            last = number == len(runs)
            how = run.how or (self._unreported(step) if last else lost)
            yield self._row(run, end, step, number, how, last, given if last else ())

    def _unreported(self, step: FilterStep) -> TimelineEnd | None:
        return _ENDS.get(step.state) if self._job.state.ended else TimelineEnd.OPEN

    def _row(
        self,
        span: _Span,
        end: datetime,
        step: FilterStep | None = None,
        attempt: int = 0,
        how: TimelineEnd | None = None,
        last: bool = True,
        deliveries: tuple[Delivery, ...] = (),
    ) -> TimelineRow:
        bar = TimelineBar(self._seconds(span.begin), self._seconds(span.end or end))
        marks = tuple(self._seconds(min(max(one.at, span.begin), end)) for one in deliveries if one.at is not None)
        return TimelineRow(
            span.kind,
            bar,
            span.begin,
            span.end is None and not self._job.state.ended,
            step,
            attempt,
            how,
            last,
            span.images,
            deliveries,
            marks,
            tuple(span.events),
        )

    def _seconds(self, at: datetime) -> float:
        return max(at - self.first, timedelta()).total_seconds()


def _lost(step: FilterStep, earlier: int) -> TimelineEnd:
    """Return how the earlier runs of a filter ended; none of them has reported its end."""
    crashes = step.crashes - (step.receipt.status is RunStatus.DIED)
    if crashes >= earlier:
        return TimelineEnd.DIED
    return TimelineEnd.LOST if crashes else TimelineEnd.SUSPENDED
