"""Claim, run, interrupt and resume jobs: one thread that polls the database and calls the executor.

The rows are the truth. A wake-up only saves waiting: what another process stored (the cancel of an administrator, for
example) is found by the next poll, at most a quarter of a second later. A job that a killed server left in progress is
found by the same poll, so recovery is no special case.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from postscan.core.clock import Clock
from postscan.core.errors import StoreBusy
from postscan.core.execution.executor import Executor
from postscan.core.execution.interrupt import FiltersAwaited
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobReason, JobState
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.25
"""Seconds between two polls of the database."""

TRIES: Final = 3
"""How often the pipeline may raise an error for one job before the job is aborted."""

_PAUSE: Final = 5.0  # seconds before a job whose pipeline raised is tried again


class Chore(NamedTuple):
    """A call that is repeated every so many seconds."""

    seconds: float
    run: Callable[[], None]


class Scheduler:
    """Polls for jobs from `start` to `stop`. Stop it before the store is closed.

    *discard* removes what the filters of a job have made, when the scheduler has ended the job.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        executor: Executor,
        chores: Sequence[Chore] = (),
        discard: Callable[..., None] = lambda *_documents: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._executor = executor
        self._discard = discard
        self._chores = dict.fromkeys(chores, 0.0)
        self._wake = threading.Event()
        self._exits: WeakValueDictionary[JobToken, Future[None]] = WeakValueDictionary()
        self._exits_lock = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="postscan-scheduler", daemon=True)
        self._broken: Counter[JobToken] = Counter()
        self._not_before: dict[JobToken, float] = {}

    def start(self) -> None:
        """Begin to poll; the first poll resumes the jobs that the last server left in progress."""
        self._thread.start()

    def stop(self, drain_seconds: float) -> None:
        """Claim no more jobs, let running filters end within *drain_seconds*, and suspend the other jobs."""
        self._stopping = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join()
        self._executor.stop(drain_seconds)

    def wake(self) -> None:
        """Poll now."""
        self._wake.set()

    def interrupt(self, token: JobToken) -> None:
        """Cancel the running filter of a job that was cancelled."""
        self._not_before.pop(token, None)
        self._executor.interrupt(token)
        self.wake()

    @property
    def is_running(self) -> bool:
        """Whether this process polls; if not, another one may run the jobs."""
        return self._thread.is_alive()

    def exit(self, token: JobToken) -> Future[None]:
        """Return what is done when the job next leaves the executor. Do not cancel it: others may wait for it."""
        with self._exits_lock:
            exit = self._exits.get(token)
            if exit is None:
                exit = self._exits[token] = Future()
            return exit

    def done(self, token: JobToken, error: BaseException | None) -> None:
        """Record that a job has left the executor, with the error that its pipeline raised."""
        if error is None:
            self._broken.pop(token, None)
        else:
            self._not_before[token] = self._clock.ticks() + _PAUSE
            if not isinstance(error, StoreBusy | FiltersAwaited):
                self._broken[token] += 1
        with self._exits_lock:
            exit = self._exits.pop(token, None)
        if exit is not None:
            exit.set_result(None)
        self.wake()

    def poll(self) -> None:
        """Read the database once: run what waits or was left, and interrupt what was cancelled."""
        running = self._executor.running()  # before the rows are read: a job may end and leave at any moment
        in_progress = self._store.in_progress()
        self._resume([token for token in in_progress if token not in running])
        for token, state in in_progress.items():
            if state is JobState.TERMINATING:
                self._executor.interrupt(token)
        while self._executor.free() and not self._stopping:
            job = self._store.claim(self._clock.now())
            if job is None:
                break
            self._executor.submit(job.token, self.done)
        self._run_chores()

    def _run_chores(self) -> None:
        now = self._clock.ticks()
        for chore, due in self._chores.items():
            if now >= due:
                self._chores[chore] = now + chore.seconds
                chore.run()

    def _loop(self) -> None:
        while not self._stopping:
            try:
                with self._store.urgent():
                    self.poll()
            except StoreBusy:
                pass  # the store has logged it; the next poll finds what this one has not
            except Exception:
                log.exception("scheduler failed")
            self._wake.wait(POLL_SECONDS)
            self._wake.clear()

    def _resume(self, left: Sequence[JobToken]) -> None:
        """Run jobs that are in progress and run nowhere: their server died, or their pipeline raised an error."""
        for token in left:
            if self._clock.ticks() < self._not_before.get(token, 0.0):
                continue
            self._not_before.pop(token, None)
            if self._broken[token] >= TRIES:
                self._abort(token)
            elif self._executor.free():
                self._executor.submit(token, self.done)

    def _abort(self, token: JobToken) -> None:
        with self._store.change(token) as job:
            job.fail(JobReason.PROCESSING_FAILED, self._clock.now())
        log.error("job aborted: pipeline failed", extra={"job": token, "tries": self._broken.pop(token)})
        with contextlib.suppress(OSError):  # the next start of the server removes them as well
            self._discard(*job.made)
