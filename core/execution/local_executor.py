"""Run jobs in threads of this process: the adapter of the executor port for one machine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from postscan.core.errors import StoreBusy
from postscan.core.execution.executor import JobDone
from postscan.core.execution.interrupt import FiltersAwaited, Interrupt, ShuttingDown
from postscan.core.model.job import JobToken

log = logging.getLogger(__name__)

RunJob = Callable[[JobToken, Interrupt], None]
"""Runs the filters of a job; raises `ShuttingDown` if it suspends the job."""


class LocalExecutor:
    """Runs jobs in threads of this process, at most *slots* at once; their filters run in worker processes.

    A job is done in its thread: `done` is called there, with the error if the pipeline raised one.
    """

    def __init__(self, run: RunJob, slots: int) -> None:
        self._run = run
        self._slots = slots
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="postscan-job")
        self._lock = threading.Lock()
        self._interrupts: dict[JobToken, Interrupt] = {}
        self._futures: set[Future[None]] = set()

    def submit(self, token: JobToken, done: JobDone) -> None:
        """Run the job in a thread of its own."""
        with self._lock:
            if token in self._interrupts:
                return
            interrupt = self._interrupts[token] = Interrupt()
            future = self._threads.submit(self._process, token, interrupt, done)
            self._futures.add(future)
        future.add_done_callback(self._futures.discard)

    def interrupt(self, token: JobToken) -> None:
        """Set the token of the job's running filter."""
        with self._lock:
            interrupt = self._interrupts.get(token)
        if interrupt is not None:
            interrupt.cancel()

    def free(self) -> bool:
        """Return whether a thread is idle."""
        with self._lock:
            return len(self._interrupts) < self._slots

    def running(self) -> set[JobToken]:
        """Return the jobs that run here."""
        with self._lock:
            return set(self._interrupts)

    def stop(self, drain_seconds: float) -> None:
        """Let running filters end within *drain_seconds*, then suspend their jobs; the next start resumes them."""
        wait(list(self._futures), timeout=drain_seconds)
        with self._lock:
            left = list(self._interrupts.values())
        for interrupt in left:
            interrupt.shutdown()
        self._threads.shutdown(wait=True)

    def _process(self, token: JobToken, interrupt: Interrupt, done: JobDone) -> None:
        error: BaseException | None = None
        try:
            self._run(token, interrupt)
        except ShuttingDown:
            log.info("job suspended", extra={"job": token})
        except (StoreBusy, FiltersAwaited) as raised:  # that is logged elsewhere; the scheduler runs the job again
            error = raised
        except Exception as raised:
            log.exception("job not processed", extra={"job": token})
            error = raised
        finally:
            with self._lock:
                del self._interrupts[token]
            done(token, error)
