"""Events of the event loop for the server's log: it must not wait for a server that stands still."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Final

from postscan.plugins import SourceContext

MOST: Final = 100
"""Events that wait for the server; what is above that is left out."""


class EventLog:
    """A thread that passes on events."""

    def __init__(self, inlet: SourceContext) -> None:
        self._inlet = inlet
        self._events: queue.Queue[tuple[str, str, dict[str, object]] | None] = queue.Queue(MOST)
        self._thread = threading.Thread(target=self._pass_on, name="mail-log", daemon=True)
        self._thread.start()

    def write(self, text: str, level: str, **fields: object) -> None:
        """Pass on an event, unless too many wait."""
        with contextlib.suppress(queue.Full):
            self._events.put_nowait((text, level, fields))

    def close(self, seconds: float = 1.0) -> None:
        """Wait for the events that were written, but no longer than so many seconds."""
        with contextlib.suppress(queue.Full):
            self._events.put(None, timeout=seconds)
        self._thread.join(seconds)

    def _pass_on(self) -> None:
        while (event := self._events.get()) is not None:
            text, level, fields = event
            self._inlet.log(text, level, **fields)
