"""Stop a filter run in steps: token, grace period, SIGTERM, a moment, SIGKILL.

In a thread of its own, so that neither a slow store nor a worker that sends without end can delay it. The supervisor
kills the run. One that waits for the processor is not waited for: the server kills what is below it, and then gives it
time to report, since its report has how the worker ended and what it printed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from types import TracebackType
from typing import Final, Protocol, Self

from postscan.core.filters.cancellation import CancelSource

KILL_SECONDS: Final = 1.0
"""For a supervisor to kill what is below it; then the server does."""

REPORT_SECONDS: Final = 4.0
"""And for it to end by itself, with nothing below it; then it is killed, and its report is lost."""


class RunControl(Protocol):
    """What a termination does to a run, in this order."""

    def terminate(self) -> None:
        """Send SIGTERM to the worker and its tools."""

    def kill(self) -> None:
        """Let the supervisor kill everything below it."""

    def kill_below(self) -> None:
        """Kill everything below the supervisor, which has not done it."""

    def force_kill(self) -> None:
        """Kill everything without the supervisor, which did not end."""


def kill_run(run: RunControl, is_over_within: Callable[[float], bool]) -> None:
    """Kill a run: by its supervisor, then without it, then with it; *is_over_within* waits some seconds for the end."""
    for step, seconds in ((run.kill, KILL_SECONDS), (run.kill_below, REPORT_SECONDS)):
        step()
        if is_over_within(seconds):
            return
    run.force_kill()


class Termination:
    """Watches one run while the body runs; every time is in seconds, and None is no limit.

    With *start*, *seconds* count from `begin`, for which the run has *start* seconds. `begun` says that it came, or was
    not needed. `grace` may be set until the token is. `late` says that a time limit was reached. `killed` is the
    moment, on `time.monotonic()`, when the run was killed; None before that.
    """

    def __init__(
        self,
        source: CancelSource,
        run: RunControl,
        seconds: float | None,
        grace: float,
        term: float,
        start: float | None = None,
    ) -> None:
        self._source = source
        self._run = run
        self._seconds, self.grace, self._term, self._start = seconds, grace, term, start
        self.begun = start is None
        self._thread = threading.Thread(target=self._watch, name="postscan-termination", daemon=True)
        self.late = False
        self.killed: float | None = None

    def __enter__(self) -> Self:
        self._over = os.eventfd(0, os.EFD_CLOEXEC)
        self._begin = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.eventfd_write(self._over, 1)
        self._thread.join()
        os.close(self._over)
        os.close(self._begin)

    def begin(self) -> None:
        """Let the time of the run begin, in the place of the time for its start; only the first call counts."""
        if not self.begun:
            self.begun = True
            os.eventfd_write(self._begin, 1)

    def _watch(self) -> None:
        ready = self._first_of_its_ends()
        if self._over in ready:
            return
        if not ready:
            self.late = True
            self._source.cancel("the time limit of this filter")
        if self._is_over_within(self.grace):
            return
        self._run.terminate()
        if self._is_over_within(self._term):
            return
        self.killed = time.monotonic()
        kill_run(self._run, self._is_over_within)

    def _first_of_its_ends(self) -> Sequence[object]:
        """Wait for the end and the cancel; return what has come, nothing if a time limit was reached."""
        ends = [self._over, self._source.fileno()]
        if self._start is not None:
            ready = wait([*ends, self._begin], self._start)
            if ready != [self._begin]:
                return ready
        return wait(ends, self._seconds)

    def _is_over_within(self, seconds: float) -> bool:
        return bool(wait([self._over], seconds))
