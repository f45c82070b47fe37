"""Run jobs in threads of this process: the adapter of the executor port for one machine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from postscan.core.execution.interrupt import Interrupt, ShuttingDown
from postscan.core.model.job import JobToken

log = logging.getLogger(__name__)

Run = Callable[[JobToken, Interrupt], None]
Done = Callable[[JobToken, BaseException | None], None]


class LocalExecutor:
    """Runs jobs in threads of this process; their filters run in worker processes.

    `done` is called in such a thread when a job has left, with the error if the pipeline itself broke.
    """

    def __init__(self, run: Run, done: Done, slots: int) -> None:
        self._run = run
        self._done = done
        self._slots = slots
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="postscan-job")
        self._lock = threading.Lock()
        self._interrupts: dict[JobToken, Interrupt] = {}
        self._futures: set[Future[None]] = set()

    def submit(self, token: JobToken) -> None:
        """Run the job in a thread of its own."""
        with self._lock:
            if token in self._interrupts:
                return
            interrupt = self._interrupts[token] = Interrupt()
            future = self._threads.submit(self._carry, token, interrupt)
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
        """Let running filters end in this time, then put their jobs down; they go on at the next start."""
        wait(list(self._futures), timeout=drain_seconds)
        with self._lock:
            left = list(self._interrupts.values())
        for interrupt in left:
            interrupt.leave()
        self._threads.shutdown(wait=True)

    def _carry(self, token: JobToken, interrupt: Interrupt) -> None:
        error: BaseException | None = None
        try:
            self._run(token, interrupt)
        except ShuttingDown:
            log.info("job %s is put down; it goes on when the server is back", token)
        except Exception as broken:
            log.exception("job %s could not be carried on", token)
            error = broken
        finally:
            with self._lock:
                del self._interrupts[token]
            self._done(token, error)
