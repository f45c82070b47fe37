"""Numbers for the events of all processes, from the leader: see `core.store.cluster.numbering`."""

from __future__ import annotations

import logging
import threading
from typing import Final

from postscan.core.cluster.leadership import Leadership
from postscan.core.errors import StoreBusy
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 0.05
"""Seconds between two looks for events without a number."""

STOP_SECONDS: Final = 5.0
"""How long a stop waits for a database that does not answer."""


class EventNumbering:
    """Numbers events from `start` to `stop` while this process leads; does nothing where changes do so themselves."""

    def __init__(self, store: Store, leadership: Leadership) -> None:
        self._store = store
        self._leadership = leadership
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="postscan-numbering", daemon=True)

    def start(self) -> None:
        """Begin to number events."""
        if not self._store.has_one_writer:
            self._thread.start()

    def stop(self) -> None:
        """Number what is committed by now, and end."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _loop(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stopped.wait(PAUSE_SECONDS)
            if not self._leadership.is_leader:
                continue
            try:
                with self._store.urgent():
                    self._store.number_events()
            except StoreBusy:
                pass  # the store has logged it
            except Exception:
                log.exception("events not numbered")
