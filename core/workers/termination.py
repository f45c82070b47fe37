"""Stop a filter run in steps: token, grace period, SIGTERM, a moment, SIGKILL.

In a thread of its own, so that neither a slow store nor a worker that sends without end can delay it.
"""

from __future__ import annotations

import os
import threading
import time
from multiprocessing.connection import wait
from types import TracebackType
from typing import Final, Protocol, Self

from postscan.core.filters.cancellation import CancelSource

_HANGING: Final = 1.0  # seconds for a supervisor to end after SIGTERM


class RunControl(Protocol):
    """What a termination does to a run, in this order."""

    def terminate(self) -> None:
        """Send SIGTERM to the worker and its tools."""

    def kill(self) -> None:
        """Let the supervisor kill everything below it."""

    def force_kill(self) -> None:
        """Kill everything without the supervisor, which did not end."""


class Termination:
    """Watches one run while the body runs; every time is in seconds.

    `late` says that the time limit was reached. `killed` is the moment, on `time.monotonic()`, when the run was killed;
    None before that.
    """

    def __init__(self, source: CancelSource, run: RunControl, seconds: float, grace: float, term: float) -> None:
        self._source = source
        self._run = run
        self._seconds, self._grace, self._term = seconds, grace, term
        self._thread = threading.Thread(target=self._watch, name="postscan-termination", daemon=True)
        self.late = False
        self.killed: float | None = None

    def __enter__(self) -> Self:
        self._over = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.eventfd_write(self._over, 1)
        self._thread.join()
        os.close(self._over)

    def _watch(self) -> None:
        ready = wait([self._over, self._source.fileno()], self._seconds)
        if self._over in ready:
            return
        if not ready:
            self.late = True
            self._source.cancel("the time limit of this filter")
        if self._is_over_within(self._grace):
            return
        self._run.terminate()
        if self._is_over_within(self._term):
            return
        self.killed = time.monotonic()
        self._run.kill()
        if not self._is_over_within(_HANGING):
            self._run.force_kill()

    def _is_over_within(self, seconds: float) -> bool:
        return bool(wait([self._over], seconds))
