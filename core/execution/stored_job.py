"""What the pipeline stores of a job: the starts and ends of its filters, and its own end.

Each method waits for a database that does not answer, and raises `ShuttingDown` if the server stops meanwhile. The
outcome of a commit may be unknown, so each has one effect if it is repeated; the number of the run tells whether a
change was stored before. Each raises `Overtaken`, and changes nothing, if the job is in another turn than the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from postscan.core.clock import Clock
from postscan.core.errors import Overtaken, StoreBusy, WrongState
from postscan.core.execution.interrupt import Interrupt, ShuttingDown
from postscan.core.execution.patience import until_stored
from postscan.core.model.job import FilterStep, Job, JobTurn
from postscan.core.model.records import Delivery
from postscan.core.model.states import FilterState, FilterVerb, JobReason, JobState
from postscan.core.store.store import Store
from postscan.core.workers.outcome import FilterOutcome

_T = TypeVar("_T")

Change = Callable[[], None]
"""Stores something; may be repeated, and raises `StoreBusy`."""


def do_nothing() -> None:
    """Store nothing."""


class StoredJob:
    """One job in progress, as its pipeline reads and changes it; *most_bytes* is the share of its owner."""

    def __init__(
        self, store: Store, clock: Clock, run: JobTurn, interrupt: Interrupt, most_bytes: int | None = None
    ) -> None:
        self._store = store
        self._most_bytes = most_bytes
        self._clock = clock
        self.run = run
        self._interrupt = interrupt

    def load(self) -> Job:
        """Return the job."""
        job = self._until_stored(lambda: self._store.load(self.run.token))
        if job.turn != self.run.turn:
            raise Overtaken(*self.run)
        return job

    def deliveries(self, position: int) -> Sequence[Delivery]:
        """Return what the runs of this filter have published, or were about to publish."""
        found = self._until_stored(lambda: self._store.deliveries(self.run.token))
        return [one for one in found if one.position == position]

    def store(self, change: Change) -> None:
        """Make a change that is not one of the job's row."""
        self._until_stored(change)

    def waited(self, call: Callable[[], _T]) -> _T:
        """Return what *call*, which changes nothing, returns when the database answers."""
        return self._until_stored(call)

    def start(self, position: int, attempt: int) -> Job | None:
        """Record that run number *attempt* of a filter begins; return the job, None if it has been cancelled."""

        def start() -> Job | None:
            with self._change() as job:
                now = self._clock.now()
                known = job.steps[position].attempt == attempt
                return job if (job.begin(now) if known else job.start(position, now)) else None

        return self._until_stored(start)

    def is_suspended(self) -> bool:
        """Return whether a filter was stopped because the server is stopping, and not by a cancel of its job."""
        return self._interrupt.shutting_down and self.load().state is not JobState.TERMINATING

    def suspend(self, step: FilterStep, first: Change = do_nothing) -> None:
        """Record, after *first*, that the run was no crash; if that cannot be stored, it counts as one."""

        def suspend() -> None:
            first()
            with self._change() as job:
                job.suspend(step.position)

        self._until_stored(suspend)

    def report(self, step: FilterStep, outcome: FilterOutcome, first: Change = do_nothing) -> FilterState:
        """Record, after *first*, how the filter ended; return its state.

        Raises `WrongState` if *step* is not the current run of the filter; `SpoolFull` if the job's owner would have
        more than *most_bytes* with the documents that it made.
        """

        def report() -> FilterState:
            first()
            with self._change(most_bytes=self._most_bytes) as job:
                known = job.steps[step.position]
                if known.attempt != step.attempt:
                    raise WrongState("report", f"attempt {known.attempt} runs")
                if not known.state.ended:
                    self._end_filter(job, step.position, outcome)
                return job.steps[step.position].state

        return self._until_stored(report)

    def close(self, failed: JobReason | None = None) -> Job:
        """End the job, with an error if a reason is given; return it."""

        def close() -> Job:
            with self._change() as job:
                if job.state.ended:
                    return job
                if failed is None:
                    job.finish(self._clock.now())
                else:
                    job.fail(failed, self._clock.now())
                return job

        return self._until_stored(close)

    def _change(self, most_bytes: int | None = None) -> AbstractContextManager[Job]:
        return self._store.change(self.run.token, turn=self.run.turn, most_bytes=most_bytes)

    def _end_filter(self, job: Job, position: int, outcome: FilterOutcome) -> None:
        now = self._clock.now()
        job.begin(now)  # a filter that is not started may be the first one of its job
        if outcome.verb is FilterVerb.CANCEL and job.state is not JobState.TERMINATING:
            outcome = FilterOutcome(FilterVerb.FAIL, detail="it stopped without a cancel")
        job.report(
            position,
            outcome.verb,
            now,
            outcome.reasons,
            outcome.detail,
            outcome.progress,
            outcome.receipt,
            outcome.documents,
        )

    def _until_stored(self, call: Callable[[], _T]) -> _T:
        try:
            return until_stored(call, self._interrupt.wait_shutdown, job=self.run.token)
        except StoreBusy as error:
            raise ShuttingDown from error
