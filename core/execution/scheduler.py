"""Claim, run, interrupt, expire, recover: one thread that looks at the database and tells the executor.

The rows are the truth. A wake-up only saves waiting: whatever another process changed (an administrator's cancel,
say) is seen at the next look, a quarter of a second later at most. What a killed server left in hand is found by
the same look, so recovery is no special case.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from postscan.core.clock import Clock
from postscan.core.errors import JobNotFound, StoreBusy, WrongState
from postscan.core.execution.executor import Executor
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobReason, JobState
from postscan.core.spool.uploads import Uploads
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

LOOK: Final = 0.25  # seconds between two looks at the database
TRIES: Final = 3  # how often the pipeline may break on one job
_PAUSE: Final = 5.0  # seconds before a broken job is tried again


class Chore(NamedTuple):
    """Something to be done every so many seconds."""

    seconds: float
    do: Callable[[], None]


class Scheduler:
    """Start it after the executor is set, stop it before the store is closed."""

    def __init__(self, store: Store, uploads: Uploads, clock: Clock) -> None:
        self._store = store
        self._uploads = uploads
        self._clock = clock
        self._wake = threading.Event()
        self._moved = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._executor: Executor | None = None
        self._broken: Counter[JobToken] = Counter()
        self._not_before: dict[JobToken, float] = {}
        self._chores: dict[Chore, float] = {}

    def start(self, executor: Executor, chores: Sequence[Chore] = ()) -> None:
        """Take up what the last server left, and begin to look for work; do the chores from time to time."""
        self.attach(executor)
        self._chores = dict.fromkeys(chores, 0.0)
        self._thread = threading.Thread(target=self._loop, name="postscan-scheduler", daemon=True)
        self._thread.start()

    def attach(self, executor: Executor) -> None:
        """Know the executor."""
        self._executor = executor

    def stop(self, drain_seconds: float) -> None:
        """Claim nothing more, let running filters end in this time, and put the rest down."""
        self._stopping = True
        self.wake()
        if self._thread is not None:
            self._thread.join()
        if self._executor is not None:
            self._executor.stop(drain_seconds)

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def interrupt(self, token: JobToken) -> None:
        """Tell the running filter of a job that was cancelled."""
        if self._executor is not None:
            self._executor.interrupt(token)
        self.wake()

    def wait_moved(self, seconds: float) -> None:
        """Sleep until some job has left the executor, or for *seconds*."""
        with self._moved:
            self._moved.wait(seconds)

    def done(self, token: JobToken, error: BaseException | None) -> None:
        """Hear from the executor that a job has left it."""
        if error is None:
            self._broken.pop(token, None)
        else:
            self._not_before[token] = self._clock.ticks() + _PAUSE
            if not isinstance(error, StoreBusy):
                self._broken[token] += 1
        with self._moved:
            self._moved.notify_all()
        self.wake()

    def look(self) -> None:
        """Look at the database once: run what waits or was left, interrupt what was cancelled, expire the silent."""
        if self._executor is None:
            return
        running = self._executor.running()  # before the rows are read: a job may end and leave at any moment
        in_progress = self._store.in_progress()
        self._resume(self._executor, [token for token in in_progress if token not in running])
        for token, state in in_progress.items():
            if state is JobState.TERMINATING:
                self._executor.interrupt(token)
        while self._executor.free() and not self._stopping:
            job = self._store.claim(self._clock.now())
            if job is None:
                break
            self._executor.submit(job.token)
        self._expire()
        self._do_chores()

    def _do_chores(self) -> None:
        now = self._clock.ticks()
        for chore, due in self._chores.items():
            if now >= due:
                self._chores[chore] = now + chore.seconds
                chore.do()

    def _loop(self) -> None:
        while not self._stopping:
            try:
                self.look()
            except StoreBusy as error:
                log.warning("the scheduler waits: %s", error)
            except Exception:
                log.exception("the scheduler stumbled")
            self._wake.wait(LOOK)
            self._wake.clear()

    def _resume(self, executor: Executor, left: Sequence[JobToken]) -> None:
        """Run again what is in hand and runs nowhere: its server died, or its pipeline broke."""
        for token in left:
            if self._clock.ticks() < self._not_before.get(token, 0.0):
                continue
            self._not_before.pop(token, None)
            if self._broken[token] >= TRIES:
                self._give_up(token)
            elif executor.free():
                executor.submit(token)

    def _give_up(self, token: JobToken) -> None:
        log.error("job %s is given up: its pipeline broke %d times", token, self._broken.pop(token))
        with self._store.change(token) as job:
            job.fail(JobReason.PROCESSING_FAILED, self._clock.now())

    def _expire(self) -> None:
        """Give up the jobs whose devices fell silent."""
        for token in self._store.idle(self._clock.ticks()):
            if token in self._uploads:
                continue
            try:
                with self._store.change(token) as job:
                    if job.deadline < self._clock.ticks():
                        job.expire(self._clock.now())
            except (WrongState, JobNotFound):
                continue  # it moved on meanwhile
            log.warning("job %s is given up: its device fell silent", token)
