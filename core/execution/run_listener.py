"""Handle the messages that a filter run sends while it works: grants, deliveries, progress and log lines.

A filter runs on while the database does not answer. A request for a grant waits; what was published is stored as soon
as possible, at the latest with the end of the run; progress is dropped.
"""

from __future__ import annotations

import contextlib
import time
from typing import Final

from postscan.core import traces
from postscan.core.clock import Clock
from postscan.core.errors import StoreBusy
from postscan.core.execution.patience import Pause, until_stored
from postscan.core.execution.run_log import RunLog
from postscan.core.model.job import FilterStep, JobTurn
from postscan.core.model.records import Delivery
from postscan.core.store.store import Store
from postscan.core.workers.protocol import (
    FilterProgress,
    GrantReply,
    GrantRequest,
    LogLine,
    OutputPublished,
    OutputWithdrawn,
    RunMessage,
)

GRANT_SECONDS: Final = 60.0
"""How long a request for a grant waits for the database."""

_PROGRESS_SECONDS: Final = 0.5


class RunListener:
    """Turns the messages of one filter run into stored changes and log lines; *pause* ends at a cancel of the run."""

    def __init__(
        self, store: Store, clock: Clock, run: JobTurn, step: FilterStep, run_log: RunLog, pause: Pause
    ) -> None:
        self._store = store
        self._clock = clock
        self._run = run
        self._step = step
        self._log = run_log
        self._pause = pause
        self._unconfirmed: list[Delivery] = []
        self._granted: dict[tuple[int, str], int] = {}
        self._progress_stored = 0.0
        self.progress = ""

    def handle(self, message: RunMessage) -> GrantReply | None:
        """Act on one message; return the reply to a `GrantRequest`.

        Raises `StoreBusy` if the database does not answer such a request within `GRANT_SECONDS`; `Overtaken`.
        """
        match message:
            case GrantRequest():
                granted = self._grant(self._delivery(message, published=False))
                if granted and (began := traces.now()):
                    self._granted[message.document or 0, message.destination] = began
                return GrantReply(granted=granted)
            case OutputPublished() | OutputWithdrawn():
                self._trace(message)
                self._unconfirmed.append(self._delivery(message, published=isinstance(message, OutputPublished)))
                with contextlib.suppress(StoreBusy):
                    self.confirm()
            case FilterProgress(done=done, total=total, unit=unit):
                self._record_progress(f"{done}/{total} {unit}")
            case LogLine():
                self._log.write(message)
        return None

    def confirm(self) -> None:
        """Store what was published or withdrawn and is not stored yet; harmless when repeated. Raises `StoreBusy`."""
        while self._unconfirmed:
            self._store.confirm(self._run, self._step.position, self._unconfirmed[0])
            del self._unconfirmed[0]

    def _trace(self, message: OutputPublished | OutputWithdrawn) -> None:
        """Make the span of an output, from its grant to its publication."""
        began = self._granted.pop((message.document or 0, message.destination), 0)
        traces.record("delivery", began, job=self._run.token, published=isinstance(message, OutputPublished))

    def _grant(self, delivery: Delivery) -> bool:
        def grant() -> bool:
            self.confirm()
            return self._store.grant(self._run, self._step.position, self._step.attempt, delivery, self._clock.now())

        try:
            return until_stored(grant, self._pause, GRANT_SECONDS, job=self._run.token)
        except StoreBusy:
            if self._pause(0.0):
                return False  # the run is being stopped
            raise

    def _delivery(self, message: GrantRequest | OutputPublished | OutputWithdrawn, *, published: bool) -> Delivery:
        return Delivery(self._step.position, message.document, message.destination, message.name, published)

    def _record_progress(self, progress: str) -> None:
        """Store the progress, but not each step of a fast filter, since each is a commit."""
        self.progress = progress
        now = time.monotonic()
        if now - self._progress_stored >= _PROGRESS_SECONDS:
            self._progress_stored = now
            with contextlib.suppress(StoreBusy):
                self._store.record_progress(self._run, self._step.position, progress)
