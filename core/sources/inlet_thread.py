"""One inlet: a thread that starts a process of its source, and another one when it has ended.

an end that nobody ordered   the next process starts after 1, 2, 4 ... 60 s
five of them in ten minutes  quarantine: no process, until an administrator starts the inlet
stopped by an administrator  no process, until an administrator starts the inlet
`run` returned, and may      no process, until the server starts again or an administrator starts the inlet
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import threading
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from postscan.core.filters.source.messages import Destination, DestinationsChanged, PullRequest
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobState
from postscan.core.registry.restarts import Restarts
from postscan.core.service.inlets import InletRow, Inlets
from postscan.core.settings import Settings
from postscan.core.sources.inlet import InletProcess, ProcessEnd
from postscan.core.sources.intake import IntakeParts, SourceIntake
from postscan.core.sources.open_jobs import OpenJobs
from postscan.core.sources.start import destinations, start_message
from postscan.core.workers import work_folder
from postscan.core.workers.pool import Workers
from postscan.core.workers.rlimits import Resources
from postscan.core.workers.slot import Closed, Limits
from postscan.core.workers.work_folder import LastingFolders

log = logging.getLogger(__name__)

STATE_SECONDS: Final = 1.0
"""Seconds between two times at which the state of an inlet is stored."""


class InletState(StrEnum):
    """How an inlet is, as administrators see it; `ready`, `degraded` and `away` are the source's own words."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    AWAY = "away"
    WAITING = "waiting"  # for the start of its next process
    FINISHED = "finished"
    STOPPED = "stopped"
    QUARANTINED = "quarantined"
    DISABLED = "disabled"
    ELSEWHERE = "elsewhere"  # another server runs it


class InletThread:
    """One inlet of a running engine, from `start` to `join`."""

    def __init__(self, name: str, settings: Settings, workers: Workers, parts: IntakeParts, inlets: Inlets) -> None:
        self.name = name
        self._settings = settings
        self._source = settings.sources[name]
        self._workers = workers
        self._parts = parts
        self._rows = inlets
        self._folders = LastingFolders(settings)
        self._restarts = Restarts(time.monotonic)
        self._thread = threading.Thread(target=self._run, name=f"postscan-inlet-{name}", daemon=True)
        self._changed = threading.Condition()  # of what follows
        self._row: InletRow | None = None
        self._draining = False
        self.is_held = True
        self._finished = False
        self._quarantine = ""
        self._last = ""  # why the last process ended
        self._not_before = 0.0
        self._process: InletProcess | None = None
        self._intake: SourceIntake | None = None
        self._left: list[OpenJobs] = []
        self._state: tuple[str, str] = ("", "")
        self._stored: tuple[str, str] = ("", "")
        self._stored_at = 0.0
        self._stored_quarantine = ""
        self._has_job = False
        self._offered: tuple[Destination, ...] = ()

    def start(self) -> None:
        """Begin to run processes."""
        self._thread.start()

    def drain(self) -> bool:
        """Take no new origin, start no process, and end the source if it has no open job; return whether it has none.

        May be repeated.
        """
        with self._changed:
            self._draining = True
            self._changed.notify_all()
            process, intake = self._process, self._intake
        if intake is not None:
            intake.stop_opening()
            if intake.jobs.number:
                return False
        if process is not None:
            process.stop("the server is stopping")
        return True

    def join(self) -> None:
        """End the source, whatever it has open, and wait for its end."""
        with self._changed:
            process = self._process
        if process is not None:
            process.stop("the server is stopping")
        self._thread.join()

    # --- the thread of the inlet ---------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._is_wanted():
            begun = time.monotonic()
            try:
                end = self._run_process()
            except Closed:
                return
            except Exception as error:
                log.exception("source not run", extra={"inlet": self.name})
                end = ProcessEnd(reason=f"the server failed: {error}")
            self._decide(end, time.monotonic() - begun)
        self._show("", "")

    def _is_wanted(self) -> bool:
        """Wait until a process is to be started; return False if none is any more."""
        with self._changed:
            while not self._draining:
                idle = self._idle()
                left = self._not_before - time.monotonic()
                if idle is None and left <= 0:
                    return True
                if idle is not None:
                    self._state = idle
                self._changed.wait(left if idle is None else None)
            return False

    def _idle(self) -> tuple[str, str] | None:
        """Return the state in which no process is to run, and the text beside it; None if one is."""
        if not self.is_held:
            return InletState.ELSEWHERE, "another server runs it"
        if not self._source.enabled:
            return InletState.DISABLED, "enabled = false"
        if self._source.plugin in self._settings.plugins.disabled:
            return InletState.DISABLED, f"plugin {self._source.plugin} is in plugins.disabled"
        if self._row is not None and self._row.stopped:
            return InletState.STOPPED, "an administrator has stopped it"
        if self._quarantine:
            return InletState.QUARANTINED, self._quarantine
        if self._finished:
            return InletState.FINISHED, ""
        return None

    def _run_process(self) -> ProcessEnd:
        """Run one process from its start to its end; raise `Closed` if no more are started."""
        storage, running = self._settings.storage, self._settings.running
        self._show(InletState.STARTING, self._last)
        try:
            folder = storage.sources_dir / self.name
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            workdir = Path(tempfile.mkdtemp(prefix=f"source-{self.name}-", dir=storage.run_dir))
        except OSError as error:
            return ProcessEnd(reason=f"its folders cannot be made: {error.strerror}", counts=False)
        intake = SourceIntake(self._parts, self.name, folder, workdir, self._on_job)
        limits = Limits(0.0, running.grace_seconds, running.term_seconds, Resources.of(running))
        load_seconds = self._settings.plugins.probe_seconds
        start = start_message(self.name, self._settings, self._parts.origins, folder, workdir)
        self._offered = start.destinations
        process = InletProcess(start, intake, limits, load_seconds, self._show)
        try:
            with self._workers.slot() as slot, contextlib.ExitStack() as watched:
                self._enter(process, intake)
                for one in (workdir, folder):
                    watched.enter_context(self._folders.watched(one, process))
                return process.run(slot)
        except (OSError, EOFError, MemoryError) as error:
            return ProcessEnd(reason=f"it cannot be started: {error or type(error).__name__}", counts=False)
        finally:
            self._leave(intake)
            work_folder.remove(workdir)

    def _enter(self, process: InletProcess, intake: SourceIntake) -> None:
        with self._changed:
            self._process, self._intake = process, intake
            unwanted = self._draining or self._idle() is not None
        if unwanted:
            intake.stop_opening()
            process.stop("the source is being stopped")

    def _leave(self, intake: SourceIntake) -> None:
        with self._changed:
            self._process = self._intake = None
            if intake.jobs.has_unfailed:
                self._left.append(intake.jobs)

    def _decide(self, end: ProcessEnd, ran: float) -> None:
        """Log the end of a process, and decide when the next one starts."""
        about = {"inlet": self.name, "plugin": self._source.plugin}
        with self._changed:
            ordered = end.stopped or self._draining
            if ordered or (end.finished and not end.reason):
                self._finished = end.finished and not ordered
                if ordered:
                    log.info("source stopped", extra=about)
                else:
                    log.info("source finished", extra=about)
                return
            self._last = end.reason
            pause = self._restarts.ended(ran) if end.counts else self._restarts.pause(ran)
            about |= {"reason": end.reason} | ({"traceback": end.traceback} if end.traceback else {})
            if pause is None:
                self._quarantine = end.reason
                log.error("source quarantined", extra=about)
                return
            self._not_before = time.monotonic() + pause
            self._state = InletState.WAITING, end.reason
        log.warning("source ended", extra=about | {"next_seconds": pause})

    def _show(self, state: str, text: str) -> None:
        with self._changed:
            self._state = state, text

    def _on_job(self) -> None:
        with self._changed:
            self._has_job = True

    def hold(self, *, held: bool) -> None:
        """Run processes from now on if the inlet is this server's; else end the one that runs, and start none."""
        with self._changed:
            self.is_held = held
            process, intake = self._process, self._intake
            if held:  # its row tells how it is now
                self._row, self._finished, self._not_before = None, False, 0.0
            self._changed.notify_all()
        if not held and intake is not None:
            intake.stop_opening()
        if not held and process is not None:
            process.stop("another server runs it")

    # --- what the supervisor calls -------------------------------------------------------------------------------

    def obey(self, row: InletRow) -> None:
        """Follow the orders of administrators in the row of this inlet."""
        process = None
        if not self.is_held:
            return
        with self._changed:
            before, self._row = self._row, row
            if before is None:
                self._quarantine = self._stored_quarantine = row.quarantine
            elif row.orders != before.orders:
                if row.stopped:
                    process = self._process
                else:
                    self._quarantine = self._stored_quarantine = self._last = ""
                    self._finished, self._not_before = False, 0.0
                    self._restarts.reset()
                self._changed.notify_all()
        if process is not None:
            process.stop("an administrator has stopped it")
        if row.pull is not None:
            self._pull(row.pull)

    def _pull(self, destination: str) -> None:
        if not self._rows.take_pull(self.name, destination):
            return
        with self._changed:
            process = self._process
        if process is None or not process.pulls:
            about = {"inlet": self.name, "reason": "it fetches no scans" if process else "it does not run"}
            log.warning("scan not passed on", extra=about)
            return
        process.notify(PullRequest(destination=destination))

    def tokens(self) -> list[JobToken]:
        """Return the jobs that the source takes for open."""
        with self._changed:
            return self._intake.jobs.tokens() if self._intake is not None else []

    def pass_on(self, ended: Mapping[JobToken, JobState | None]) -> None:
        """Tell the source which jobs others have ended."""
        with self._changed:
            process, intake = self._process, self._intake
        if intake is not None:
            for notice in intake.jobs.ended(ended):
                if process is not None:
                    process.notify(notice)

    def send_tickets(self) -> None:
        """Tell the source the scan tickets that are stored now, if some have changed; may wait for the files."""
        with self._changed:
            process = self._process
        if process is None or not process.has_begun:
            return
        found = destinations(self.name, self._parts.origins)
        if found != self._offered:
            self._offered = found
            process.notify(DestinationsChanged(destinations=found))

    def look_after(self) -> None:
        """Fail what is left; store how the inlet is."""
        with self._changed:
            intake, left = self._intake, list(self._left)
        if intake is not None:
            intake.jobs.forget_late()
            intake.jobs.fail_left()
        for one in left:
            one.fail_left()
        with self._changed:
            self._left = [one for one in self._left if one.has_unfailed]
        self.store()

    def store(self, *, at_once: bool = False) -> None:
        """Store how the inlet is, if that has changed, and not too often unless *at_once*; here it runs."""
        if not self.is_held:
            return
        with self._changed:
            state, quarantine, has_job, process = self._state, self._quarantine, self._has_job, self._process
            self._has_job = False
            due = at_once or time.monotonic() >= self._stored_at + STATE_SECONDS
        if quarantine != self._stored_quarantine:
            self._rows.quarantine(self.name, quarantine)
            self._stored_quarantine = quarantine
        if state != self._stored and due:
            self._rows.record_state(self.name, *state, pulls=process is not None and process.pulls)
            self._stored, self._stored_at = state, time.monotonic()
        if has_job:
            self._rows.record_job(self.name)
