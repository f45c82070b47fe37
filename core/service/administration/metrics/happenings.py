"""Metrics that count what has happened since the server was started, from the events that are stored.

The event log has the changes of every process that uses the database, in the order of their commits, so that one
reader of it counts each change once, whichever process made it. No label is of a kind whose number clients decide: no
token, no user, no address, no dialect of a filter that is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from postscan.core.model.events import (
    FilterStateChanged,
    ImageReceived,
    JobEnded,
    JobStateChanged,
    from_record,
)
from postscan.core.model.job import JobToken
from postscan.core.model.records import EventRow
from postscan.core.model.states import FilterState, JobReason, JobState
from postscan.core.store.events import EndedStep

disable_created_metrics()  # type: ignore[no-untyped-call]  # series that only OpenMetrics has a use for

OTHER: Final = "other"
"""Label of a filter that is not installed, whose dialect a client may have chosen."""

ENDS: Final = (
    (JobState.COMPLETED, JobReason.SUCCEEDED),
    (JobState.COMPLETED, JobReason.WARNINGS),
    (JobState.COMPLETED, JobReason.ERRORS),
    (JobState.CANCELED, JobReason.CANCELED),
    (JobState.ABORTED, JobReason.NO_VALID_INSTRUCTIONS),
    (JobState.ABORTED, JobReason.PROCESSING_FAILED),
    (JobState.ABORTED, JobReason.SEND_IMAGE_FAILED),
    (JobState.ABORTED, JobReason.TIMED_OUT),
)
"""States and reasons in which a job ends: each has a series from the start, so that its first job is an increase."""

OF_JOBS: Final = (1, 5, 15, 60, 300, 1800, 7200)
OF_FILTERS: Final = (0.1, 0.5, 1, 5, 15, 60, 300, 1800)
OF_CANCELS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)
OF_CLAIMS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 1800)
OF_INTERRUPTS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
"""Upper bounds of the buckets, in seconds."""


MOST_INTERRUPTS: Final = 10_000
"""Jobs of which it is remembered when their filters were told of a cancel, until their end is counted."""


class _FilterOfJob(NamedTuple):
    token: JobToken
    position: int


class Happenings:
    """Counters and histograms of one server. *plugin_of* returns the plugin of a dialect, None if there is none."""

    def __init__(self, registry: CollectorRegistry, plugin_of: Callable[[str], str | None]) -> None:
        self._plugin_of = plugin_of
        self._begun: dict[_FilterOfJob, datetime] = {}
        self._canceled: dict[JobToken, datetime] = {}
        self._pending: dict[JobToken, datetime] = {}
        self._interrupted: dict[JobToken, datetime] = {}
        self._created = Counter("postscan_jobs_created", "Jobs that were created.", registry=registry)
        self._ended = Counter(
            "postscan_jobs_ended", "Jobs that have ended, by state and reason.", ("state", "reason"), registry=registry
        )
        self._job_seconds = Histogram(
            "postscan_job_duration_seconds",
            "Seconds from the creation of a job to its end, by the state in which it ended.",
            ("state",),
            buckets=OF_JOBS,
            registry=registry,
        )
        self._images = Counter("postscan_images_received", "Images that were stored.", registry=registry)
        self._bytes = Counter("postscan_images_received_bytes", "Bytes of the stored images.", registry=registry)
        self._cancels = Counter("postscan_cancels", "Cancels that were stored.", registry=registry)
        self._cancel_seconds = Histogram(
            "postscan_cancel_duration_seconds",
            "Seconds from the stored cancel of a job whose filters ran to its end.",
            buckets=OF_CANCELS,
            registry=registry,
        )
        self._claim_seconds = Histogram(
            "postscan_claim_delay_seconds",
            "Seconds from the moment at which a job could be processed to its claim.",
            buckets=OF_CLAIMS,
            registry=registry,
        )
        self._interrupt_seconds = Histogram(
            "postscan_cancel_token_seconds",
            "Seconds from the stored cancel of a job to the token of its filter, for jobs that run in this process.",
            buckets=OF_INTERRUPTS,
            registry=registry,
        )
        self._runs = Counter(
            "postscan_filter_runs",
            "Filters of jobs that have ended, by plugin and outcome.",
            ("filter", "outcome"),
            registry=registry,
        )
        self._filter_seconds = Histogram(
            "postscan_filter_duration_seconds",
            "Seconds from the start of the last run of a filter to its end, by plugin.",
            ("filter",),
            buckets=OF_FILTERS,
            registry=registry,
        )
        self._deliveries = Counter(
            "postscan_deliveries", "Outputs that filters have published, by plugin.", ("filter",), registry=registry
        )
        for state, reason in ENDS:
            self._ended.labels(state, reason)
        for state in JobState:
            if state.ended:
                self._job_seconds.labels(state)

    def count(self, rows: Iterable[EventRow], steps: Sequence[EndedStep], created: dict[JobToken, datetime]) -> None:
        """Count these events, each once, in their order.

        *steps* are those whose end is among the events; *created* has when the jobs were created whose end is.
        """
        of_run = {_FilterOfJob(step.token, step.position): step for step in steps}
        for row in rows:
            event = from_record(row.kind, row.fields, row.at)
            match event:
                case JobStateChanged():
                    self._count_state(row.token, event)
                case ImageReceived():
                    self._images.inc()
                    self._bytes.inc(event.size)
                case FilterStateChanged():
                    run = _FilterOfJob(row.token, event.position)
                    self._count_filter(run, event, of_run.get(run))
                case JobEnded():
                    self._count_end(row.token, event, created.get(row.token))

    def note_interrupt(self, token: JobToken, at: datetime) -> None:
        """Remember when the filters of a job were told of its cancel; it is counted with the end of the job."""
        self._interrupted[token] = at
        if len(self._interrupted) > MOST_INTERRUPTS:  # jobs that were deleted before their end was counted
            del self._interrupted[next(iter(self._interrupted))]

    def _count_state(self, token: JobToken, event: JobStateChanged) -> None:
        pending = self._pending.pop(token, None)
        if event.state == JobState.CREATING:
            self._created.inc()
        elif event.state == JobState.PENDING:
            self._pending[token] = event.at
        elif event.state == JobState.STARTED and pending is not None:
            self._claim_seconds.observe(_seconds(pending, event.at))
        elif event.state == JobState.TERMINATING and token not in self._canceled:
            self._canceled[token] = event.at
            self._cancels.inc()

    def _count_end(self, token: JobToken, event: JobEnded, created: datetime | None) -> None:
        self._ended.labels(event.state, event.reasons[0] if event.reasons else "").inc()
        if created is not None:
            self._job_seconds.labels(event.state).observe(_seconds(created, event.at))
        self._pending.pop(token, None)
        canceled, interrupted = self._canceled.pop(token, None), self._interrupted.pop(token, None)
        if canceled is not None:
            self._cancel_seconds.observe(_seconds(canceled, event.at))
            if interrupted is not None:
                self._interrupt_seconds.observe(_seconds(canceled, interrupted))
        elif event.state == JobState.CANCELED:
            self._cancels.inc()

    def _count_filter(self, run: _FilterOfJob, event: FilterStateChanged, step: EndedStep | None) -> None:
        if not FilterState(event.state).ended:
            self._begun[run] = event.at
            return
        begun = self._begun.pop(run, None)
        if step is None:
            return  # its job was removed before it was counted
        plugin = self._plugin_of(step.dialect) or OTHER
        self._runs.labels(plugin, step.outcome).inc()
        self._deliveries.labels(plugin).inc(step.published)
        if begun is not None:
            self._filter_seconds.labels(plugin).observe(_seconds(begun, event.at))


def _seconds(begin: datetime, end: datetime) -> float:
    """Return the seconds between two moments; 0 if the wall clock was set back meanwhile."""
    return max(0.0, (end - begin).total_seconds())
