"""One plugin of hooks: a thread that runs its process, and another one when it has ended.

an end that nobody ordered   the next process starts after 1, 2, 4 ... 60 s
five of them in ten minutes  quarantine: the next process starts after ten minutes
a disabled plugin            no process

Without a process every question is answered at once: the directory is away. Unlike an inlet a plugin of hooks leaves
its quarantine by itself, since users wait for its answers and no origin comes again.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from postscan.core.filters.directory.messages import HooksDeclared, HooksStarted
from postscan.core.registry.directory.hooks_process import HooksEnd, HooksProcess
from postscan.core.registry.directory.questions import AskedQuestion
from postscan.core.registry.restarts import Restarts
from postscan.core.settings import Settings
from postscan.core.workers import work_folder
from postscan.core.workers.pool import Workers
from postscan.core.workers.rlimits import Resources
from postscan.core.workers.slot import Closed, Limits
from postscan.core.workers.work_folder import LastingFolders

log = logging.getLogger(__name__)

QUARANTINE_SECONDS: Final = 600.0
"""How long a plugin whose process has ended too often has none."""


class HooksState(StrEnum):
    """How a plugin of hooks is."""

    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"  # for the start of its next process
    QUARANTINED = "quarantined"
    DISABLED = "disabled"
    STOPPED = "stopped"


class HooksCondition(NamedTuple):
    """The state of a plugin of hooks, and why it is not ready."""

    state: HooksState
    reason: str = ""


class HooksThread:
    """One plugin of hooks of a running engine, from `start` to `stop`."""

    def __init__(self, name: str, settings: Settings, workers: Workers) -> None:
        self.name = name
        self._settings = settings
        self._table: Mapping[str, Any] = settings.plugins.tables[name]
        self._workers = workers
        self._folders = LastingFolders(settings)
        self._restarts = Restarts(time.monotonic)
        self._thread = threading.Thread(target=self._run, name=f"postscan-hooks-{name}", daemon=True)
        self._changed = threading.Condition()  # of what follows
        self._condition = HooksCondition(HooksState.STARTING)
        self._process: HooksProcess | None = None
        self._is_stopping = False

    @property
    def condition(self) -> HooksCondition:
        """How the plugin is now."""
        return self._condition

    def start(self) -> None:
        """Begin to run processes, unless the plugin is disabled."""
        if self.name in self._settings.plugins.disabled:
            self._condition = HooksCondition(HooksState.DISABLED, "it is in plugins.disabled")
        else:
            self._thread.start()

    def stop(self) -> None:
        """End the process and wait for its end."""
        with self._changed:
            self._is_stopping = True
            process = self._process
            self._changed.notify_all()
        if process is not None:
            process.stop("the server is stopping")
        if self._thread.ident is not None:
            self._thread.join()

    def ask(self, asked: AskedQuestion) -> None:
        """Pass a question on; without a process it is answered at once."""
        with self._changed:
            process, condition = self._process, self._condition
        if process is None:
            asked.away(f"its process does not run: {condition.reason or condition.state}")
        else:
            process.ask(asked)

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_stopping:
            begun = time.monotonic()
            try:
                end = self._run_process()
            except Closed:
                break
            except Exception as error:
                log.exception("plugin of hooks not run", extra={"plugin": self.name})
                end = HooksEnd(reason=f"the server failed: {error}")
            self._wait(end, time.monotonic() - begun)
        self._show(HooksState.STOPPED)

    def _run_process(self) -> HooksEnd:
        """Run one process from its start to its end; raise `Closed` if no more are started."""
        running = self._settings.running
        limits = Limits(0.0, running.grace_seconds, running.term_seconds, Resources.of(running))
        try:
            workdir = Path(tempfile.mkdtemp(prefix="hooks-", dir=self._settings.storage.run_dir))
        except OSError as error:
            return HooksEnd(reason=f"its folder cannot be made: {error.strerror}", counts=False)
        started = HooksStarted(
            plugin=self.name,
            settings=dict(self._table),
            seconds=self._settings.directory.answer_seconds,
            workdir=workdir,
        )
        process = HooksProcess(started, limits, self._settings.plugins.probe_seconds, self._ready)
        try:
            with self._workers.slot() as slot, self._folders.watched(workdir, process):
                with self._changed:
                    self._process = process
                    self._condition = HooksCondition(HooksState.STARTING)
                    is_stopping = self._is_stopping
                if is_stopping:
                    process.stop("the server is stopping")
                return process.run(slot)
        except (OSError, EOFError, MemoryError) as error:
            return HooksEnd(reason=f"it cannot be started: {error or type(error).__name__}", counts=False)
        finally:
            with self._changed:
                self._process = None
            work_folder.remove(workdir)

    def _ready(self, declared: HooksDeclared) -> None:
        log.info("plugin of hooks ready", extra={"plugin": self.name, "hooks": " ".join(declared.hooks)})
        self._show(HooksState.READY)

    def _wait(self, end: HooksEnd, ran: float) -> None:
        """Log the end of a process, and wait until the next one starts."""
        if end.stopped or self._is_stopping:
            return
        about = {"plugin": self.name, "reason": end.reason} | ({"traceback": end.traceback} if end.traceback else {})
        pause = self._restarts.ended(ran) if end.counts else self._restarts.pause(ran)
        if pause is None:
            self._restarts.reset()
            pause = QUARANTINE_SECONDS
            self._show(HooksState.QUARANTINED, end.reason)
            log.error("plugin of hooks quarantined", extra=about | {"next_seconds": pause})
        else:
            self._show(HooksState.WAITING, end.reason)
            log.warning("plugin of hooks ended", extra=about | {"next_seconds": pause})
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopping, pause)

    def _show(self, state: HooksState, reason: str = "") -> None:
        with self._changed:
            self._condition = HooksCondition(state, reason)
