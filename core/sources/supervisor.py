"""Run the inlets of the settings, and follow what administrators order.

Each inlet has a thread, which starts one process after another. One more thread looks into the database four times a
second for orders, stores how the inlets are, and fails what could not be failed before. While jobs take pages it looks
more often whether others have ended one of them. Without a source in the settings there is no thread.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Final

from postscan.core.cluster.leadership import AlwaysLeader, Leadership, inlet_lock
from postscan.core.errors import StoreBusy
from postscan.core.service.inlets import InletRow, Inlets
from postscan.core.service.origins import Origins
from postscan.core.settings import Settings
from postscan.core.sources.inlet_thread import InletThread
from postscan.core.sources.intake import IntakeParts
from postscan.core.workers.pool import Workers

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.25
"""Seconds between two looks into the database."""

CANCEL_SECONDS: Final = 0.03
"""Seconds between two looks at the jobs that take pages: a scanner is told of a cancel within 100 ms (WSS-060)."""

TICKET_SECONDS: Final = 2.0
"""Seconds between two looks at the scan tickets of destinations."""

DRAIN_SECONDS: Final = 0.05
"""Seconds between two looks at the open jobs while the server stops."""


class SourceSupervisor:
    """The inlets of a running engine, from `start` to `stop`.

    Of several servers, the one that holds the lock of an inlet runs it.
    """

    def __init__(
        self,
        settings: Settings,
        workers: Workers,
        parts: IntakeParts,
        inlets: Inlets,
        leadership: Leadership | None = None,
    ) -> None:
        self._leadership = leadership or AlwaysLeader()
        self._origins: Origins = parts.origins
        self._rows = inlets
        self._inlets = [InletThread(name, settings, workers, parts, inlets) for name in settings.sources]
        self._running = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="postscan-sources", daemon=True)
        self._tickets = threading.Thread(target=self._send_tickets, name="postscan-tickets", daemon=True)

    def start(self) -> None:
        """Fail what the sources of the last server left open, and start the inlets."""
        self._origins.begin()
        if self._leadership.is_alone:
            self._origins.fail_left()
        if not self._inlets:
            return
        if self._leadership.is_alone:
            self._rows.begin()
        for inlet in self._inlets:
            inlet.hold(held=self._leadership.is_alone)
        self._obey()
        self._running = True
        for inlet in self._inlets:
            inlet.start()
        self._thread.start()
        self._tickets.start()

    def stop(self, drain_seconds: float) -> None:
        """Take no new origin, let open jobs get their last pages within *drain_seconds*, and end the sources."""
        if not self._running:
            return
        self._running = False
        until = time.monotonic() + drain_seconds
        while sum(not inlet.drain() for inlet in self._inlets) and time.monotonic() < until:
            time.sleep(DRAIN_SECONDS)
        for inlet in self._inlets:
            inlet.join()
        self._over.set()
        self._thread.join()
        self._tickets.join(TICKET_SECONDS)
        with contextlib.suppress(StoreBusy):  # the next start fails what is left
            for inlet in self._inlets:
                inlet.look_after()
                inlet.store(at_once=True)

    def _loop(self) -> None:
        due = time.monotonic()
        while not self._over.wait(CANCEL_SECONDS):
            try:
                self._pass_on_ends()
                if time.monotonic() >= due:
                    due = time.monotonic() + POLL_SECONDS
                    self._obey()
                    for inlet in self._inlets:
                        inlet.look_after()
            except StoreBusy:
                pass  # the store has logged it
            except Exception:
                log.exception("look after sources failed")

    def _send_tickets(self) -> None:
        """Look at the stored scan processes; in a thread of its own, since a file system may not answer."""
        while not self._over.wait(TICKET_SECONDS):
            try:
                for inlet in self._inlets:
                    inlet.send_tickets()
            except StoreBusy:
                pass  # the store has logged it
            except Exception:
                log.exception("look at scan tickets failed")

    def _take_over(self) -> None:
        """Begin the inlets whose locks this server has got, and end those whose locks it has lost."""
        for inlet in self._inlets:
            held = self._leadership.holds(inlet_lock(inlet.name))
            if held and not inlet.is_held:
                self._origins.fail_left(inlet.name)
                self._rows.begin(inlet.name)
            if held != inlet.is_held:
                inlet.hold(held=held)

    def _obey(self) -> None:
        if not self._leadership.is_alone:
            self._take_over()
        rows = self._rows.all_rows()
        for inlet in self._inlets:
            inlet.obey(rows.get(inlet.name, InletRow(inlet.name)))

    def _pass_on_ends(self) -> None:
        tokens = [token for inlet in self._inlets for token in inlet.tokens()]
        ended = self._origins.ended(tokens) if tokens else {}
        if ended:
            for inlet in self._inlets:
                inlet.pass_on(ended)
