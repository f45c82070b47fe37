"""The presses at one panel, one after another, in a thread of their own; presses at other panels run beside them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

from postscan.soap.wsscan.subscriptions.record import StoredPress

MOST: Final = 8
"""Presses that wait; further ones are refused."""


class PressQueue:
    """Calls *bring* with each press, from `start` to `stop`; it must not raise."""

    def __init__(self, bring: Callable[[StoredPress], None]) -> None:
        self._bring = bring
        self._waiting: queue.Queue[StoredPress | None] = queue.Queue()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wsscan-presses", daemon=True)

    @property
    def has_room(self) -> bool:
        """Whether another press may wait."""
        return self._waiting.qsize() < MOST

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, press: StoredPress) -> None:
        """Let a press wait for its turn."""
        self._waiting.put(press)

    def stop(self, seconds: float) -> None:
        """Bring no further press, and wait at most so many seconds for the one that is being brought."""
        self._over.set()
        self._waiting.put(None)
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            press = self._waiting.get()
            if press is None or self._over.is_set():
                return
            self._bring(press)
