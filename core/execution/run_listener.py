"""Handle the messages that a filter run sends while it works: grants, deliveries, progress and log lines."""

from __future__ import annotations

import logging
import time
from typing import Final

from postscan.core.clock import Clock
from postscan.core.model.job import FilterStep, JobToken
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

log = logging.getLogger(__name__)

_PROGRESS_SECONDS: Final = 0.5
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class RunListener:
    """Turns the messages of one filter run into stored changes and log lines."""

    def __init__(self, store: Store, clock: Clock, token: JobToken, step: FilterStep, title: str) -> None:
        self._store = store
        self._clock = clock
        self._token = token
        self._step = step
        self._title = title
        self._progress_stored = 0.0
        self.progress = ""

    def handle(self, message: RunMessage) -> GrantReply | None:
        """Act on one message; return the reply to a `GrantRequest`."""
        match message:
            case GrantRequest():
                step, now = self._step, self._clock.now()
                delivery = self._delivery(message, published=False)
                return GrantReply(granted=self._store.grant(self._token, step.position, step.attempt, delivery, now))
            case OutputPublished() | OutputWithdrawn():
                delivery = self._delivery(message, published=isinstance(message, OutputPublished))
                self._store.confirm(self._token, self._step.position, delivery)
            case FilterProgress(done=done, total=total, unit=unit):
                self._record_progress(f"{done}/{total} {unit}")
            case LogLine(level=level, text=text):
                about = {"job": self._token, "filter": self._title, "text": text}
                log.log(_LEVELS.get(level, logging.INFO), "filter logged", extra=about)
        return None

    def _delivery(self, message: GrantRequest | OutputPublished | OutputWithdrawn, *, published: bool) -> Delivery:
        return Delivery(self._step.position, message.document, message.destination, message.name, published)

    def _record_progress(self, progress: str) -> None:
        """Store the progress, but not each step of a fast filter, since each is a commit."""
        self.progress = progress
        now = time.monotonic()
        if now - self._progress_stored >= _PROGRESS_SECONDS:
            self._progress_stored = now
            self._store.record_progress(self._token, self._step.position, progress)
