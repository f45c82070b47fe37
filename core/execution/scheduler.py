"""Claim, run, interrupt and resume jobs: one thread that polls the database and calls the executor.

The rows are the truth. A wake-up only saves waiting: what another process stored (the cancel of an administrator, for
example) is found by the next poll, at most a quarter of a second later. A job that a killed server left in progress is
found by the same poll, so recovery is no special case; `postscan.core.cluster` says when another process has left it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from postscan.core import traces
from postscan.core.clock import Clock
from postscan.core.cluster.job_locks import JobLocks
from postscan.core.cluster.wakeups import JobWakeups, Wakeup
from postscan.core.errors import Overtaken, StoreBusy
from postscan.core.execution.executor import Executor
from postscan.core.execution.interrupt import FiltersAwaited, ShuttingDown
from postscan.core.model.job import JobToken, JobTurn
from postscan.core.model.states import JobReason, JobState
from postscan.core.store.cluster.turns import JobInProgress
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

    *discard* removes what the filters of a job have made, when the scheduler has ended the job. *went_round* is called
    before each poll, and behind each claim.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        executor: Executor,
        locks: JobLocks,
        wakeups: JobWakeups,
        chores: Sequence[Chore] = (),
        discard: Callable[..., None] = lambda *_documents: None,
        went_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._executor = executor
        self._locks = locks
        self._wakeups = wakeups
        self._discard = discard
        self._went_round = went_round
        self._chores = dict.fromkeys(chores, 0.0)
        self._wake = threading.Event()
        self._exits: WeakValueDictionary[JobToken, Future[None]] = WeakValueDictionary()
        self._exits_lock = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="postscan-scheduler", daemon=True)
        self._broken: Counter[JobToken] = Counter()
        self._suspended: set[JobToken] = set()
        self._not_before: dict[JobToken, float] = {}

    def start(self) -> None:
        """Begin to poll; the first poll resumes the jobs that the last server left in progress."""
        self._wakeups.on(Wakeup.WAKE, self._woken)
        self._wakeups.on(Wakeup.CANCEL, lambda token: self._executor.interrupt(JobToken(token)))
        self._wakeups.on(Wakeup.ENDED, lambda token: self._set_exit(JobToken(token)))
        self._thread.start()

    def stop(self, drain_seconds: float) -> None:
        """Claim no more jobs, let running filters end within *drain_seconds*, and suspend the other jobs."""
        self._stopping = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join()
        self._executor.stop(drain_seconds)

    def wake(self) -> None:
        """Poll now, here and in the other processes: a job is Pending."""
        self._wake.set()
        self._wakeups.send(Wakeup.WAKE)

    def interrupt(self, token: JobToken) -> None:
        """Cancel the running filter of a job that was cancelled."""
        self._not_before.pop(token, None)
        self._executor.interrupt(token)
        self._wakeups.send(Wakeup.CANCEL, token)
        self._wake.set()

    def suspend(self) -> None:
        """Suspend the jobs that run here: this process may not run them any more. It claims again when it may."""
        self._executor.suspend()

    @property
    def runs_all(self) -> bool:
        """Whether all jobs run in this process; if not, `exit` may come late or not at all."""
        return self._thread.is_alive() and self._wakeups.is_alone

    def exit(self, token: JobToken) -> Future[None]:
        """Return what is done when the job next leaves the executor. Do not cancel it: others may wait for it."""
        with self._exits_lock:
            exit = self._exits.get(token)
            if exit is None:
                exit = self._exits[token] = Future()
            return exit

    def done(self, token: JobToken, error: BaseException | None) -> None:
        """Record that a job has left the executor, with the error that its pipeline raised."""
        if isinstance(error, ShuttingDown):
            self._suspended.add(token)
        elif error is None:
            self._broken.pop(token, None)
        else:
            self._not_before[token] = self._clock.ticks() + _PAUSE
            if not isinstance(error, StoreBusy | FiltersAwaited):
                self._broken[token] += 1
        self._set_exit(token)
        self._wakeups.send(Wakeup.ENDED, token)
        self._wake.set()

    def poll(self) -> None:
        """Read the database once: run what waits or was left, and interrupt what was cancelled."""
        running = self._executor.running()  # before the rows are read: a job may end and leave at any moment
        in_progress = self._store.jobs_in_progress()
        self._drop_overtaken(running, in_progress)
        self._suspended.intersection_update([job.token for job in in_progress])
        self._resume([job for job in in_progress if job.token not in running])
        for job in in_progress:
            if job.state is JobState.TERMINATING:
                self._executor.interrupt(job.token)
        while self._executor.free() and self._locks.is_held and not self._stopping:
            began = traces.now()
            claimed = self._store.claim(self._clock.now(), self._locks.holder)
            self._went_round()
            if claimed is None:
                break
            traces.record("claim", began, job=claimed.token)
            self._executor.submit(JobTurn(claimed.token, claimed.turn), self.done)
        self._run_chores()

    def _run_chores(self) -> None:
        now = self._clock.ticks()
        for chore, due in self._chores.items():
            if now >= due:
                self._chores[chore] = now + chore.seconds
                chore.run()

    def _loop(self) -> None:
        while not self._stopping:
            self._went_round()
            try:
                with self._store.urgent():
                    self.poll()
            except StoreBusy:
                pass  # the store has logged it; the next poll finds what this one has not
            except Exception:
                log.exception("scheduler failed")
            self._wake.wait(POLL_SECONDS)
            self._wake.clear()

    def _woken(self, _token: str) -> None:
        if self._executor.free():
            self._wake.set()

    def _set_exit(self, token: JobToken) -> None:
        with self._exits_lock:
            exit = self._exits.pop(token, None)
        if exit is not None:
            exit.set_result(None)

    def _drop_overtaken(self, running: Mapping[JobToken, int], in_progress: Sequence[JobInProgress]) -> None:
        """Stop the filters of jobs that run here and are in another turn, or have ended: another process runs them.

        A job that has just ended here may be among them, for which it is too late.
        """
        turns = {job.token: job.turn for job in in_progress}
        for token, turn in running.items():
            if turns.get(token) != turn:
                self._executor.drop(token)

    def _resume(self, left: Sequence[JobInProgress]) -> None:
        """Run jobs that are in progress and run nowhere: their process has ended, or their pipeline raised an error."""
        for job in self._may_resume(left):
            if self._clock.ticks() < self._not_before.get(job.token, 0.0):
                continue
            self._not_before.pop(job.token, None)
            if self._broken[job.token] >= TRIES:
                self._abort(job)
            elif self._executor.free():
                self._run_on(job)

    def _may_resume(self, left: Sequence[JobInProgress]) -> Sequence[JobInProgress]:
        if not left or not self._locks.is_held:
            return ()
        foreign = [job for job in left if job.holder != self._locks.holder]
        kept = {job.token for job in foreign} - set(self._locks.left(foreign)) if foreign else set()
        return [job for job in left if job.token not in kept]

    def _run_on(self, job: JobInProgress) -> None:
        """Begin a turn of the job, unless another process has; the last run was no crash if it was suspended here."""
        run = self._store.resume(job, self._locks.holder, suspended=job.token in self._suspended)
        if run is None:
            return
        self._suspended.discard(job.token)
        log.info("job resumed", extra={"job": run.token, "turn": run.turn})
        self._executor.submit(run, self.done)

    def _abort(self, left: JobInProgress) -> None:
        token = left.token
        try:
            with self._store.change(token, turn=left.turn) as job:
                job.fail(JobReason.PROCESSING_FAILED, self._clock.now())
        except Overtaken:
            return
        log.error("job aborted: pipeline failed", extra={"job": token, "tries": self._broken.pop(token)})
        with contextlib.suppress(OSError):  # the next start of the server removes them as well
            self._discard(*job.made)
