"""Run the filters of one job in their order, and close the job.

Each filter runs in a slot of its own (`postscan.core.workers.slot`), and what its worker sends becomes a stored change
here, in the server process. A cancel needs no special case: the row of Terminating in the table of states turns every
report into Canceled, and `Job.start` starts no further filter.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from postscan.core.clock import Clock
from postscan.core.errors import SpoolFull
from postscan.core.execution import outputs
from postscan.core.execution.interrupt import Interrupt, ShuttingDown
from postscan.core.execution.run_listener import RunListener
from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.facts import Document, JobFacts
from postscan.core.model import file_names
from postscan.core.model.job import FilterStep, Job, JobDocument, JobToken, Receipt, RunStatus
from postscan.core.model.states import FilterReason, FilterState, FilterVerb, JobReason, JobState
from postscan.core.registry.catalogue import FilterInfo, Plugin
from postscan.core.settings import Settings
from postscan.core.spool.images import Spool
from postscan.core.store.store import Store
from postscan.core.workers import work_folder
from postscan.core.workers.outcome import FilterOutcome, outcome_of
from postscan.core.workers.pool import Workers
from postscan.core.workers.protocol import EarlierOutput, FilterDone, Result, RunOrder
from postscan.core.workers.rlimits import Resources
from postscan.core.workers.slot import Limits
from postscan.core.workers.work_folder import WorkFolders

log = logging.getLogger(__name__)

ATTEMPTS: Final = 3
"""How often a filter is started; if its worker crashes each time, the filter has failed."""


class FilterLookup(Protocol):
    """The usable filters, found by dialect: a catalogue, or the active filters of the engine."""

    def find(self, dialect: str) -> tuple[Plugin, FilterInfo] | None:
        """Return the plugin and the filter of this dialect."""


class Pipeline:
    """Runs one job at a time in each thread that uses it."""

    def __init__(
        self, store: Store, spool: Spool, filters: FilterLookup, workers: Workers, settings: Settings, clock: Clock
    ) -> None:
        self._store = store
        self._spool = spool
        self._filters = filters
        self._workers = workers
        self._settings = settings
        self._clock = clock
        self._folders = WorkFolders(settings)

    def run(self, token: JobToken, interrupt: Interrupt) -> None:
        """Run what is left of a job's filters, and close it; raise `ShuttingDown` to suspend it instead."""
        job = self._store.load(token)
        if not any(self._filters.find(step.dialect) for step in job.steps):
            self._close(token, JobReason.NO_VALID_INSTRUCTIONS)
            return
        for step in job.steps:
            # One that ended before a crash counts like one that ends now: its error may not have closed the job yet.
            state = step.state if step.state.ended else self._run_step(token, step.position, interrupt)
            if state is FilterState.CANCELED:
                break
            if state is FilterState.ERRORS and not job.continue_on_error:
                self._close(token, JobReason.PROCESSING_FAILED)
                return
        self._close(token)

    def _run_step(self, token: JobToken, position: int, interrupt: Interrupt) -> FilterState:
        """Run one filter to its end, again if its worker crashed; return its state, Canceled if it was not started."""
        job = self._store.load(token)
        step = job.steps[position]
        found = self._filters.find(step.dialect)
        if found is None:
            return self._skip(token, position, FilterVerb.FAIL, FilterReason.INVALID_ARGS, "no filter has this dialect")
        if not job.documents_for(position):
            lack = "the filters before it left no document" if job.documents else "the job has no images"
            return self._skip(token, position, FilterVerb.WARN, "", lack)
        while step.attempt < ATTEMPTS:
            if interrupt.shutting_down:
                raise ShuttingDown
            with self._store.change(token) as job:
                if not job.start(position, self._clock.now()):
                    return FilterState.CANCELED
            step = job.steps[position]
            outcome = self._run_once(job, step, *found, interrupt)
            if outcome.verb is FilterVerb.CANCEL and self._is_suspended(token, interrupt):
                raise ShuttingDown
            if outcome.again and step.attempt < ATTEMPTS:
                about = {"job": token, "filter": found[1].title, "tries": step.attempt, "reason": outcome.detail}
                log.warning("filter crashed", extra=about)
                continue
            return self._report(token, position, outcome)
        died = FilterOutcome(
            FilterVerb.FAIL,
            (FilterReason.UNKNOWN_ERROR,),
            f"it died {step.attempt} times",
            receipt=Receipt(RunStatus.DIED),
        )
        return self._report(token, position, died)

    def _run_once(
        self, job: Job, step: FilterStep, plugin: Plugin, info: FilterInfo, interrupt: Interrupt
    ) -> FilterOutcome:
        """Run the filter in a slot of its own, and return its outcome."""
        running = self._settings.running
        grace = min(info.grace, running.grace_seconds)
        limits = Limits(running.seconds, grace, running.term_seconds, Resources.of(running))
        workdir = Path(tempfile.mkdtemp(prefix=f"{job.token}-", dir=self._settings.storage.run_dir))
        patience = limits.grace + limits.term
        try:
            with CancelSource(patience=patience) as source:
                interrupt.attach(source)
                try:
                    order = self._order(job, step, plugin, workdir)
                    listener = RunListener(self._store, self._clock, job.token, step, info.title)
                    with self._folders.watched(workdir, source) as folder, self._workers.slot() as slot:
                        end = slot.run(order, source, limits, listener.handle)
                    outcome = outcome_of(end, limits, folder.excess)
                    outcome = self._with_outputs(job, step, outcome, end.result, workdir)
                    _warn_of_gap(job, info, outcome)
                    return replace(outcome, progress=listener.progress)
                finally:
                    interrupt.attach(None)
        finally:
            work_folder.remove(workdir)

    def _with_outputs(
        self, job: Job, step: FilterStep, outcome: FilterOutcome, result: Result | None, workdir: Path
    ) -> FilterOutcome:
        """Move the documents that a filter made into the spool, after its processes ended; only if it succeeded."""
        if not isinstance(result, FilterDone) or result.documents is None:
            return outcome
        given = job.documents_for(step.position)
        try:
            made = outputs.take_over(result.documents, given, job.token, self._spool, workdir, self._settings)
        except ValueError as error:
            detail = f"what it made cannot be used: {error}"
            return replace(outcome, verb=FilterVerb.FAIL, detail=detail, reasons=(FilterReason.UNKNOWN_ERROR,))
        except SpoolFull as error:
            return replace(outcome, verb=FilterVerb.FAIL, detail=str(error), reasons=(FilterReason.OUT_OF_DISK_SPACE,))
        return replace(outcome, documents=made)

    def _order(self, job: Job, step: FilterStep, plugin: Plugin, workdir: Path) -> RunOrder:
        """Return the order for the worker: ids, paths and texts, never bytes of images."""
        earlier = [one for one in self._store.deliveries(job.token) if one.position == step.position]
        return RunOrder(
            plugin=plugin.name,
            dialect=step.dialect,
            workdir=workdir,
            instructions=step.instructions.xml.decode(),
            settings=self._settings.filters.get(plugin.name, {}),
            job=JobFacts(job.token, job.process_name, job.created),
            user=job.user,
            documents=tuple(self._document(job, document) for document in job.documents_for(step.position)),
            earlier=tuple(
                EarlierOutput(document=one.document, destination=one.destination, name=one.name) for one in earlier
            ),
        )

    def _document(self, job: Job, document: JobDocument) -> Document:
        name = file_names.document_name(
            job.document_root,
            job.user.name,
            job.created,
            document.id,
            document.format,
            process=job.process_name,
            template=self._settings.naming.template,
        )
        path = self._spool.path(document)
        return Document(document.id, document.format, document.size, document.sha256, path, name)

    def _skip(self, token: JobToken, position: int, verb: FilterVerb, reason: str, detail: str) -> FilterState:
        """Record the end of a filter that was not started."""
        with self._store.change(token) as job:
            job.begin(self._clock.now())
        return self._report(
            token,
            position,
            FilterOutcome(verb, (reason,) if reason else (), detail, receipt=Receipt(RunStatus.NOT_STARTED)),
        )

    def _is_suspended(self, token: JobToken, interrupt: Interrupt) -> bool:
        """Return whether a filter was stopped because the server is stopping, and not by a cancel of its job."""
        return interrupt.shutting_down and self._store.load(token).state is not JobState.TERMINATING

    def _report(self, token: JobToken, position: int, outcome: FilterOutcome) -> FilterState:
        with self._store.change(token) as job:
            if outcome.verb is FilterVerb.CANCEL and job.state is not JobState.TERMINATING:
                outcome = FilterOutcome(FilterVerb.FAIL, detail="it stopped without a cancel")
            now = self._clock.now()
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
            return job.steps[position].state

    def _close(self, token: JobToken, failed: JobReason | None = None) -> None:
        with self._store.change(token) as job:
            if failed is None:
                job.finish(self._clock.now())
            else:
                job.fail(failed, self._clock.now())
        log.info("job ended", extra={"job": token, "state": job.state.value})
        with contextlib.suppress(OSError):  # the next start of the server removes them as well
            self._spool.discard(*job.made)


def _warn_of_gap(job: Job, info: FilterInfo, outcome: FilterOutcome) -> None:
    """Log a filter that did not check its token for longer than the grace time that it declares."""
    gap = outcome.receipt.longest_gap
    if gap > info.grace:
        about = {"job": job.token, "filter": info.title, "seconds": round(gap, 1), "grace_seconds": info.grace}
        log.warning("token not checked within the grace time", extra=about)
