"""Run the filters of one job in their order, and close the job.

Each filter runs in a slot of its own (`postscan.core.workers.slot`), and what its worker sends becomes a stored change
here, in the server process. A cancel needs no special case: the row of Terminating in the table of states turns every
report into Canceled, and `Job.start` starts no further filter.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from postscan.core import traces
from postscan.core.clock import Clock
from postscan.core.errors import ImageDamaged, JobNotFound, Overtaken, SpoolAway, SpoolFull, StoreBusy
from postscan.core.execution import outputs
from postscan.core.execution.interrupt import FiltersAwaited, Interrupt, ShuttingDown
from postscan.core.execution.patience import until_kept
from postscan.core.execution.run_listener import GRANT_SECONDS, RunListener
from postscan.core.execution.run_log import RunLog
from postscan.core.execution.stored_job import Change, StoredJob, do_nothing
from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.facts import Document, JobFacts
from postscan.core.filters.results import reason_of
from postscan.core.model import file_names
from postscan.core.model.job import FilterStep, Job, JobDocument, JobTurn, Receipt, RunStatus
from postscan.core.model.principal import inlet_of
from postscan.core.model.records import Delivery
from postscan.core.model.states import FilterReason, FilterState, FilterVerb, JobReason, JobState
from postscan.core.registry import redaction
from postscan.core.registry.catalogue import FilterInfo, FilterLookup, Plugin
from postscan.core.settings import Settings
from postscan.core.spool import page_check
from postscan.core.spool.image_store.image_writer import Reserve
from postscan.core.spool.image_store.spool_store import Fetch, SpoolStore
from postscan.core.spool.job_log import JobLogWriter
from postscan.core.spool.quota import Quota
from postscan.core.store.store import Store
from postscan.core.workers import work_folder
from postscan.core.workers.outcome import FilterOutcome, outcome_of
from postscan.core.workers.pool import Workers
from postscan.core.workers.protocol import EarlierOutput, FilterDone, Result, RunOrder
from postscan.core.workers.rlimits import Resources
from postscan.core.workers.slot import Limits, Slot
from postscan.core.workers.work_folder import WorkFolders

log = logging.getLogger(__name__)

CRASHES: Final = 3
"""How many runs of a filter may end by a crash, of its worker or of the server, before the filter has failed."""


PAUSE_SECONDS: Final = 5.0
"""Before the next run of a filter that this machine could not run to its end."""

KEEP_SECONDS: Final = 60.0
"""How long what a filter made waits for a spool that does not answer."""

ROOM_SECONDS: Final = 1.0
"""Between two attempts to get what a run needs of this machine."""


@dataclass(frozen=True)
class _Place:
    """What one run needs of this machine: its folder, its token, its slot, whose processes end with `processes`.

    `fetch` returns the paths of its documents, which have been fetched.
    """

    workdir: Path
    limits: Limits
    source: CancelSource
    slot: Slot
    processes: contextlib.ExitStack
    fetch: Fetch


class Pipeline:
    """Runs one job at a time in each thread that uses it."""

    def __init__(
        self,
        store: Store,
        spool: SpoolStore,
        quota: Quota,
        filters: FilterLookup,
        workers: Workers,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._spool = spool
        self._quota = quota
        self._filters = filters
        self._workers = workers
        self._settings = settings
        self._clock = clock
        self._folders = WorkFolders(settings)

    def use(self, settings: Settings) -> None:
        """Work with these settings from now on."""
        self._settings = settings

    def run(self, run: JobTurn, interrupt: Interrupt) -> None:
        """Run what is left of a job's filters, and close it; raise `ShuttingDown` to suspend it instead.

        Raises `FiltersAwaited`, before a filter runs, if one of them may belong to a plugin that is not loaded yet;
        `Overtaken`, with its filter stopped, if another process has resumed the job.
        Waits for a database that does not answer, unless the server is stopping.
        """
        stored = StoredJob(self._store, self._clock, run, interrupt, self._quota.share)
        job = stored.load()
        if self._filters.awaits and job.state is not JobState.TERMINATING:
            self._check_filters(job)
        if not any(self._filters.find(step.dialect) for step in job.steps):
            self._close(stored, JobReason.NO_VALID_INSTRUCTIONS)
            return
        if changed := self._changed_page(job, interrupt):
            log.error("page is not what its source sent", extra={"job": run.token, "page": changed})
            self._close(stored, JobReason.PROCESSING_FAILED)
            return
        try:
            self._run_steps(stored, job, interrupt)
        except ImageDamaged as error:
            log.error("image damaged", extra={"job": run.token, "reason": str(error)})  # noqa: TRY400  (not of this code)
            self._close(stored, JobReason.PROCESSING_FAILED)

    def _run_steps(self, stored: StoredJob, job: Job, interrupt: Interrupt) -> None:
        for step in job.steps:
            # One that ended before a crash counts like one that ends now: its error may not have closed the job yet.
            state = step.state if step.state.ended else self._run_step(stored, step.position, interrupt)
            if state is FilterState.CANCELED:
                break
            if state is FilterState.ERRORS and not job.continue_on_error:
                self._close(stored, JobReason.PROCESSING_FAILED)
                return
        self._close(stored)

    def _changed_page(self, job: Job, interrupt: Interrupt) -> int | None:
        """Return the number of the first page that does not have the hash that its source gave.

        None if all have it, if no source made the job, if a filter has run already, or if the job should stop.
        """
        if inlet_of(job.owner) is None or any(step.attempt for step in job.steps):
            return None
        if self._spool.checks_when_fetched:
            return None
        with self._spool.fetching() as fetch:
            return page_check.first_changed(job.documents, fetch, lambda: interrupt.set)

    def _check_filters(self, job: Job) -> None:
        """Raise `FiltersAwaited` if a step that has not ended has no filter."""
        for step in job.steps:
            if not step.state.ended and self._filters.find(step.dialect) is None:
                raise FiltersAwaited(f"no filter has the dialect {step.dialect} yet")

    def _run_step(self, stored: StoredJob, position: int, interrupt: Interrupt) -> FilterState:
        """Run one filter to its end, again if it crashed; return its state, Canceled if it was not started."""
        job = stored.load()
        step = job.steps[position]
        found = self._filters.find(step.dialect)
        if found is None:
            skipped = _skipped(FilterVerb.FAIL, "no filter has this dialect", FilterReason.INVALID_ARGS)
            return self._report(stored, job, step, step.dialect, skipped)
        if not job.documents_for(position):
            lack = "the filters before it left no document" if job.documents else "the job has no images"
            return stored.report(step, _skipped(FilterVerb.WARN, lack))
        while step.crashed < CRASHES:
            earlier = stored.deliveries(position)
            if interrupt.shutting_down:
                raise ShuttingDown
            with contextlib.ExitStack() as held:
                place = self._await_place(held, stored, job, position, found[1], interrupt)
                begun = stored.start(position, step.attempt + 1) if place else None
                if place is None or begun is None:
                    return FilterState.CANCELED
                step = begun.steps[position]
                try:
                    with traces.span("filter run", job=job.token, filter=found[0].name, attempt=step.attempt) as note:
                        outcome, confirm = self._run_once(stored, begun, step, *found, earlier, place, interrupt)
                        note(outcome=str(outcome.receipt.status))
                except (OSError, MemoryError) as error:
                    outcome, confirm = _not_run(error), do_nothing
                    interrupt.wait_shutdown(PAUSE_SECONDS)
            if outcome.verb is FilterVerb.CANCEL and stored.is_suspended():
                stored.suspend(step, confirm)
                raise ShuttingDown
            if outcome.again and step.crashed < CRASHES:
                about = {"job": job.token, "filter": found[1].title, "tries": step.attempt, "reason": outcome.detail}
                log.warning("filter crashed", extra=about)
                stored.store(confirm)  # the next run gets what this one has published
                continue
            return self._report(stored, begun, step, found[1].title, outcome, confirm)
        detail = f"it died {step.crashed} times"
        died = FilterOutcome(FilterVerb.FAIL, (FilterReason.UNKNOWN_ERROR,), detail, receipt=Receipt(RunStatus.DIED))
        return self._report(stored, job, step, found[1].title, died)

    def _report(
        self,
        stored: StoredJob,
        job: Job,
        step: FilterStep,
        title: str,
        outcome: FilterOutcome,
        confirm: Change = do_nothing,
    ) -> FilterState:
        """Record how the filter ended, with an error if there is no room left for what it made; log why it failed."""
        try:
            state = self._stored_report(stored, step, outcome, confirm)
        except SpoolFull as error:  # others have taken the room since it was reserved
            given = job.documents_for(step.position)
            self._spool.discard(*(document for document in outcome.documents or () if document not in given))
            outcome = _without_room(outcome, error)
            state = self._stored_report(stored, step, outcome, confirm)
        if state is FilterState.ERRORS:
            about = {"job": job.token, "filter": title, "fault": " ".join(outcome.reasons), "reason": outcome.detail}
            log.warning("filter failed", extra=about | ({"traceback": outcome.traceback} if outcome.traceback else {}))
        return state

    def _stored_report(
        self, stored: StoredJob, step: FilterStep, outcome: FilterOutcome, confirm: Change
    ) -> FilterState:
        """Record how the filter ended; if another process has resumed the job, remove what this run has made."""
        try:
            return stored.report(step, outcome, confirm)
        except Overtaken:
            with contextlib.suppress(StoreBusy, JobNotFound, OSError):  # else the next start of a server removes it
                job = self._store.load(stored.run.token)
                used = {document.blob for document in (*job.documents, *job.made)}
                self._spool.discard(*(one for one in outcome.documents or () if one.blob not in used))
            raise

    def _await_place(
        self,
        held: contextlib.ExitStack,
        stored: StoredJob,
        job: Job,
        position: int,
        info: FilterInfo,
        interrupt: Interrupt,
    ) -> _Place | None:
        """Return a place that *held* gives back; wait while this machine has none; None if the job is cancelled.

        Raises `ImageDamaged`. A run that has not begun costs nothing, so the wait has no end but that of the server.
        """
        waits = False
        while True:
            try:
                return held.enter_context(self._place(job, position, self._limits(info), interrupt))
            except (OSError, EOFError, MemoryError) as error:
                if not waits:
                    about = {"job": job.token, "filter": info.title, "reason": str(error) or type(error).__name__}
                    log.warning("job waits for this machine", extra=about)
                waits = True
            if interrupt.wait_shutdown(ROOM_SECONDS):
                raise ShuttingDown
            if stored.load().state is JobState.TERMINATING:
                return None

    @contextlib.contextmanager
    def _place(self, job: Job, position: int, limits: Limits, interrupt: Interrupt) -> Iterator[_Place]:
        """Yield what one run needs of this machine; raise `OSError`, `EOFError` or `MemoryError` if it has it not.

        Raises `ImageDamaged` if one of its documents is.
        """
        self._folders.check_room()
        with self._spool.fetching(lambda: interrupt.set) as fetch:
            for document in job.documents_for(position):
                fetch(document)
            with self._place_of(job, limits, fetch) as place:
                yield place

    @contextlib.contextmanager
    def _place_of(self, job: Job, limits: Limits, fetch: Fetch) -> Iterator[_Place]:
        workdir = Path(tempfile.mkdtemp(prefix=f"{job.token}-", dir=self._settings.storage.run_dir))
        try:
            with CancelSource(patience=limits.grace + limits.term) as source, contextlib.ExitStack() as processes:
                yield _Place(workdir, limits, source, processes.enter_context(self._workers.slot()), processes, fetch)
        finally:
            work_folder.remove(workdir)

    def _limits(self, info: FilterInfo) -> Limits:
        running = self._settings.running
        grace = min(info.grace, running.grace_seconds)
        return Limits(running.seconds, grace, running.term_seconds, Resources.of(running))

    def _run_once(
        self,
        stored: StoredJob,
        job: Job,
        step: FilterStep,
        plugin: Plugin,
        info: FilterInfo,
        earlier: Sequence[Delivery],
        place: _Place,
        interrupt: Interrupt,
    ) -> tuple[FilterOutcome, Change]:
        """Run the filter in its place; return its outcome, and what stores the last of its messages."""
        source, workdir, limits = place.source, place.workdir, place.limits
        interrupt.attach(source)
        run_log = self._run_log(job, step, plugin, info)
        listener = RunListener(self._store, self._clock, stored.run, step, run_log, source.wait)
        try:
            order = self._order(job, step, plugin, earlier, place)
            with (
                self._quota.folder(job.owner.name) as share,
                self._folders.watched(workdir, source, share.count) as folder,
                place.processes,
            ):
                end = place.slot.run(order, source, limits, listener.handle)
            outcome = outcome_of(end, limits, folder.excess)
            if folder.lacked_room and FilterReason.OUT_OF_DISK_SPACE in outcome.reasons:
                outcome = replace(outcome, again=True)  # others have taken the room
            outcome = self._with_outputs(stored, job, step, outcome, end.result, place)
            _warn_of_gap(job, info, outcome)
            return replace(outcome, progress=listener.progress), listener.confirm
        except StoreBusy as error:
            return _ungranted(error), listener.confirm
        finally:
            interrupt.attach(None)
            run_log.close()

    def _run_log(self, job: Job, step: FilterStep, plugin: Plugin, info: FilterInfo) -> RunLog:
        """Return the log of a run, which has none of the secrets in the settings of its plugin."""
        reserve = self._settings.storage.reserve_bytes
        about = (job.token, job.owner.name, step.position, step.attempt)
        kept = JobLogWriter(self._spool.logs, *about, self._clock, reserve)
        secrets = redaction.of_parameters(info.settings, self._settings.filters.get(plugin.name, {}))
        return RunLog(job.token, info.title, self._settings.running, kept, secrets)

    def _close(self, stored: StoredJob, failed: JobReason | None = None) -> None:
        job = stored.close(failed)
        log.info("job ended", extra={"job": job.token, "state": job.state.value})
        with contextlib.suppress(OSError):  # the next start of the server removes them as well
            self._spool.discard(*job.made)

    def _with_outputs(
        self,
        stored: StoredJob,
        job: Job,
        step: FilterStep,
        outcome: FilterOutcome,
        result: Result | None,
        place: _Place,
    ) -> FilterOutcome:
        """Move the documents that a filter made into the spool, after its processes ended; only if it succeeded.

        Waits for a spool that does not answer, at most `KEEP_SECONDS`, and until the run should stop.
        """
        if not isinstance(result, FilterDone) or result.documents is None:
            return outcome
        given = job.documents_for(step.position)
        limits = self._settings.limits
        try:
            with contextlib.ExitStack() as held:

                def room() -> Reserve:
                    reservation = stored.waited(lambda: self._quota.open(job.owner.name))
                    held.callback(reservation.release)
                    return reservation.reserve

                about = (result.documents, given, job.token, self._spool, place.workdir, limits, room)
                made = until_kept(lambda: outputs.take_over(*about), place.source.wait, KEEP_SECONDS)
        except ValueError as error:
            detail = f"what it made cannot be used: {error}"
            return replace(outcome, verb=FilterVerb.FAIL, detail=detail, reasons=(FilterReason.UNKNOWN_ERROR,))
        except SpoolAway as error:
            detail = f"what it made cannot be stored: {error}"
            return replace(outcome, verb=FilterVerb.FAIL, detail=detail, reasons=(FilterReason.UNKNOWN_ERROR,))
        except SpoolFull as error:
            return _without_room(outcome, error)
        return replace(outcome, documents=made)

    def _order(
        self, job: Job, step: FilterStep, plugin: Plugin, earlier: Sequence[Delivery], place: _Place
    ) -> RunOrder:
        """Return the order for the worker: ids, paths and texts, never bytes of images."""
        return RunOrder(
            plugin=plugin.name,
            dialect=step.dialect,
            workdir=place.workdir,
            instructions=step.instructions.xml.decode(),
            settings=self._settings.filters.get(plugin.name, {}),
            job=JobFacts(job.token, job.process_name, job.created),
            user=job.user,
            documents=tuple(
                self._document(job, document, place.fetch) for document in job.documents_for(step.position)
            ),
            earlier=tuple(
                EarlierOutput(document=one.document, destination=one.destination, name=one.name) for one in earlier
            ),
        )

    def _document(self, job: Job, document: JobDocument, fetch: Fetch) -> Document:
        name = file_names.document_name(
            job.document_root,
            job.user.name,
            job.created,
            document.id,
            document.format,
            process=job.process_name,
            template=self._settings.naming.template,
        )
        return Document(document.id, document.format, document.size, document.sha256, fetch(document), name)


def _skipped(verb: FilterVerb, detail: str, *reasons: str) -> FilterOutcome:
    """Return the outcome of a filter that was not started."""
    return FilterOutcome(verb, reasons, detail, receipt=Receipt(RunStatus.NOT_STARTED))


def _without_room(outcome: FilterOutcome, error: SpoolFull) -> FilterOutcome:
    """Return the outcome of a filter whose documents cannot be stored."""
    reasons = (FilterReason.OUT_OF_DISK_SPACE,)
    return replace(outcome, verb=FilterVerb.FAIL, detail=str(error), reasons=reasons, documents=None)


def _not_run(error: Exception) -> FilterOutcome:
    """Return the outcome of a run that this machine could not carry out."""
    detail = f"the server could not run it: {error or type(error).__name__}"
    return FilterOutcome(FilterVerb.FAIL, (reason_of(error),), detail, again=True, receipt=Receipt(RunStatus.KILLED))


def _ungranted(error: StoreBusy) -> FilterOutcome:
    """Return the outcome of a run that waited in vain for a grant, and was ended."""
    detail = f"an output was not granted within {GRANT_SECONDS:g} s: {error}"
    return FilterOutcome(
        FilterVerb.FAIL, (FilterReason.UNKNOWN_ERROR,), detail, again=True, receipt=Receipt(RunStatus.KILLED)
    )


def _warn_of_gap(job: Job, info: FilterInfo, outcome: FilterOutcome) -> None:
    """Log a filter that did not check its token for longer than the grace time that it declares."""
    gap = outcome.receipt.longest_gap
    if gap > info.grace:
        about = {"job": job.token, "filter": info.title, "seconds": round(gap, 1), "grace_seconds": info.grace}
        log.warning("token not checked within the grace time", extra=about)
