"""The way down for a run that should end: token → grace time → SIGTERM → a moment → SIGKILL.

It stands in a thread of its own, so that nothing but the run's end can hold it up.
"""

from __future__ import annotations

import os
import threading
import time
from multiprocessing.connection import wait
from types import TracebackType
from typing import Final, Protocol, Self

from postscan.core.filters.cancellation import CancelSource

_HANGING: Final = 1.0  # seconds for a keeper to do what it was told


class RunControl(Protocol):
    """What the ladder does to a run, one after another."""

    def ask(self) -> None:
        """Send SIGTERM to the worker and its tools."""

    def kill(self) -> None:
        """Let the keeper end everything below it."""

    def force_kill(self) -> None:
        """Do without the keeper: it did not obey."""


class Termination:
    """Watches one run while the body runs; every time is in seconds.

    `late` says that the time limit was reached. `asked` and `killed` are the moments, on `time.monotonic()`, when
    the run was asked to stop and when it was killed; None if it did not come to that.
    """

    def __init__(self, source: CancelSource, rungs: RunControl, seconds: float, grace: float, term: float) -> None:
        self._source = source
        self._rungs = rungs
        self._seconds, self._grace, self._term = seconds, grace, term
        self._thread = threading.Thread(target=self._climb, name="postscan-ladder", daemon=True)
        self.late = False
        self.asked: float | None = None
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

    def _climb(self) -> None:
        ready = wait([self._over, self._source.fileno()], self._seconds)
        if self._over in ready:
            return
        self.asked = time.monotonic()
        if not ready:
            self.late = True
            self._source.cancel("the time limit of this filter")
        if self._is_over_within(self._grace):
            return
        self._rungs.ask()
        if self._is_over_within(self._term):
            return
        self.killed = time.monotonic()
        self._rungs.kill()
        if not self._is_over_within(_HANGING):
            self._rungs.force_kill()

    def _is_over_within(self, seconds: float) -> bool:
        return bool(wait([self._over], seconds))
