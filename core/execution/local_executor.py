"""Run jobs in threads of this process: the adapter of the executor port for one machine."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import Final

from postscan.core.errors import Overtaken, StoreBusy
from postscan.core.execution.executor import JobDone
from postscan.core.execution.interrupt import FiltersAwaited, Interrupt, ShuttingDown
from postscan.core.model.job import JobToken, JobTurn

log = logging.getLogger(__name__)

_MOST_TOLD: Final = 1000

RunJob = Callable[[JobTurn, Interrupt], None]
"""Runs the filters of a job; raises `ShuttingDown` if it suspends the job, `Overtaken` if it may not run it on."""


class LocalExecutor:
    """Runs jobs in threads of this process, at most *slots* at once; their filters run in worker processes.

    A job is done in its thread: `done` is called there, with the error if the pipeline raised one.
    """

    def __init__(self, run: RunJob, slots: int, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._run = run
        self._slots = slots
        self._now = now
        self._told: deque[tuple[JobToken, datetime]] = deque(maxlen=_MOST_TOLD)
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="postscan-job")
        self._lock = threading.Lock()
        self._interrupts: dict[JobToken, Interrupt] = {}
        self._turns: dict[JobToken, int] = {}
        self._futures: set[Future[None]] = set()

    def submit(self, run: JobTurn, done: JobDone) -> None:
        """Run the job in a thread of its own."""
        with self._lock:
            if run.token in self._interrupts:
                return
            interrupt = self._interrupts[run.token] = Interrupt()
            self._turns[run.token] = run.turn
            future = self._threads.submit(self._process, run, interrupt, done)
            self._futures.add(future)
        future.add_done_callback(self._futures.discard)

    def interrupt(self, token: JobToken) -> None:
        """Set the token of the job's running filter."""
        with self._lock:
            interrupt = self._interrupts.get(token)
        if interrupt is not None and interrupt.cancel():
            self._told.append((token, self._now()))

    def interrupted(self) -> list[tuple[JobToken, datetime]]:
        """Return the jobs that were interrupted since the last call, each with the time at which its token was set.

        A job is there once, and the newest `_MOST_TOLD` at most.
        """
        found = []
        with contextlib.suppress(IndexError):
            while True:
                found.append(self._told.popleft())
        return found

    def drop(self, token: JobToken) -> None:
        """Stop the running filter of a job that another process has resumed."""
        with self._lock:
            interrupt = self._interrupts.get(token)
        if interrupt is not None:
            interrupt.drop()

    def suspend(self) -> None:
        """Suspend all jobs that run here."""
        with self._lock:
            interrupts = list(self._interrupts.values())
        for interrupt in interrupts:
            interrupt.shutdown()

    def free(self) -> bool:
        """Return whether a thread is idle."""
        with self._lock:
            return len(self._interrupts) < self._slots

    def running(self) -> dict[JobToken, int]:
        """Return the jobs that run here, and their turns."""
        with self._lock:
            return dict(self._turns)

    def stop(self, drain_seconds: float) -> None:
        """Let running filters end within *drain_seconds*, then suspend their jobs; the next start resumes them."""
        wait(list(self._futures), timeout=drain_seconds)
        self.suspend()
        self._threads.shutdown(wait=True)

    def _process(self, run: JobTurn, interrupt: Interrupt, done: JobDone) -> None:
        token = run.token
        error: BaseException | None = None
        try:
            self._run(run, interrupt)
        except ShuttingDown as raised:
            log.info("job suspended", extra={"job": token})
            error = raised
        except Overtaken as raised:
            log.warning("run of a job dropped", extra={"job": token, "reason": str(raised)})
        except (StoreBusy, FiltersAwaited) as raised:  # that is logged elsewhere; the scheduler runs the job again
            error = raised
        except Exception as raised:
            log.exception("job not processed", extra={"job": token})
            error = raised
        finally:
            with self._lock:
                del self._interrupts[token], self._turns[token]
            done(token, error)
