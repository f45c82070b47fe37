"""Handle the messages that a filter run sends while it works: grants, deliveries, progress and log lines."""

from __future__ import annotations

import logging
import time
from typing import Final

from postscan.core.clock import Clock
from postscan.core.model.job import FilterStep, JobToken
from postscan.core.model.records import Delivery
from postscan.core.store.store import Store
from postscan.core.workers import protocol

log = logging.getLogger(__name__)

_PROGRESS_SECONDS: Final = 0.5
_LONGEST: Final = 2048
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class RunListener:
    """Turns what one filter run says on its pipe into stored changes and log lines."""

    def __init__(self, store: Store, clock: Clock, token: JobToken, step: FilterStep, title: str) -> None:
        self._store = store
        self._clock = clock
        self._token = token
        self._step = step
        self._title = title
        self._noted = 0.0
        self.progress = ""

    def hear(self, message: protocol.Message) -> protocol.Message | None:
        """Act on one message; return the answer if it was a question."""
        if message.get("ask") == "grant":
            about = self._delivery(message, published=False)
            step = self._step
            granted = self._store.grant(self._token, step.position, step.attempt, about, self._clock.now())
            return {"granted": granted}
        told = message["tell"]
        if told in ("published", "withdrawn"):
            about = self._delivery(message, published=told == "published")
            self._store.confirm(self._token, self._step.position, about)
        elif told == "progress":
            self._note(f"{int(message['done'])}/{int(message['total'])} {str(message['unit'])[:64]}")
        elif told == "log":
            level = _LEVELS.get(message["level"], logging.INFO)
            log.log(level, "%s: %s", self._title, message["text"], extra={"job": self._token})
        return None

    def _delivery(self, message: protocol.Message, *, published: bool) -> Delivery:
        document = None if message["document"] is None else int(message["document"])
        if document is not None and not 0 < document < 1 << 31:
            raise ValueError(f"document {document}")
        for text in (message["destination"], message["name"]):
            if not isinstance(text, str) or len(text) > _LONGEST:
                raise ValueError(f"a name that is no text, or longer than {_LONGEST} characters")
        return Delivery(self._step.position, document, str(message["destination"]), str(message["name"]), published)

    def _note(self, progress: str) -> None:
        """Keep the progress, but not each step of a fast filter: every note is a commit."""
        self.progress = progress
        now = time.monotonic()
        if now - self._noted >= _PROGRESS_SECONDS:
            self._noted = now
            self._store.record_progress(self._token, self._step.position, progress)
