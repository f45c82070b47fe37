"""The running jobs of one device by JobId, so that its events reach them. Source: ws-scan.md section 9; WSS-062."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

CANCELED: Final = "Canceled"
ABORTED: Final = "Aborted"
CANCELED_AT_DEVICE: Final = "JobCanceledAtDevice"

EARLY_SECONDS: Final = 5.0
"""How long an end counts that comes before the answer with its JobId."""

MOST_EARLY: Final = 32
"""Most ends, and most finished jobs, that are remembered."""


Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class DeviceJobEnd:
    """How a job has ended at its device: a state of WS-Scan and the reasons beside it."""

    state: str
    reasons: tuple[str, ...] = ()

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled at the device."""
        return self.state == CANCELED or CANCELED_AT_DEVICE in self.reasons

    @property
    def failed(self) -> bool:
        """Whether it ended without all of its images."""
        return self.cancelled or self.state == ABORTED

    def __str__(self) -> str:
        reasons = [reason for reason in self.reasons if reason != "None"]
        return self.state + (f" ({', '.join(reasons)})" if reasons else "")


class ScanJobs:
    """The jobs of one device that are running here; several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, Callable[[DeviceJobEnd], object]] = {}
        self._early: dict[int, tuple[float, DeviceJobEnd]] = {}
        self._finished: dict[int, float] = {}

    def ended(self, job_id: int, state: str, reasons: tuple[str, ...] = ()) -> None:
        """Receive the end of a job, from an event of the device; one that is not of a running job has no effect."""
        end = DeviceJobEnd(state, reasons)
        with self._lock:
            notify = self._running.get(job_id)
            if notify is None:
                if end.failed and job_id not in self._finished:
                    _remember(self._early, job_id, (time.monotonic(), end))
                return
        notify(end)

    @contextmanager
    def running(self, job_id: int, notify: Callable[[DeviceJobEnd], object]) -> Iterator[None]:
        """Call *notify* with the end of this job if it comes during the body, or came just before."""
        with self._lock:
            self._running[job_id] = notify
            self._finished.pop(job_id, None)
            came, early = self._early.pop(job_id, (0.0, None))
        if early is not None and time.monotonic() < came + EARLY_SECONDS:
            notify(early)
        try:
            yield
        finally:
            with self._lock:
                if self._running.get(job_id) is notify:
                    del self._running[job_id]
                _remember(self._finished, job_id, time.monotonic())


def _remember(table: dict[int, Value], job_id: int, value: Value) -> None:
    table.pop(job_id, None)
    table[job_id] = value
    while len(table) > MOST_EARLY:
        del table[next(iter(table))]
