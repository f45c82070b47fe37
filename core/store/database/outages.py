"""The log of outages of the database: one line when one begins and one when it ends, whatever fails in between.

`Database` is the only place that sees every failure, so no other module logs one: schedulers, pipelines, deliveries
and requests only act on it. Source: F-R12 to F-R14.
"""

from __future__ import annotations

import logging
import threading

from postscan.core.errors import StoreBusy, StoreFull

log = logging.getLogger(__name__)


class OutageLog:
    """Logs whether the database answers, and whether it has room; safe to use from several threads.

    Silent until `start`: a command of the command line reports the error itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = False
        self._failures = {"busy": 0, "full": 0}
        self._begun = {"busy": 0, "full": 0}

    @property
    def failures(self) -> int:
        """How many transactions have failed in the outages that have not ended."""
        with self._lock:
            return sum(self._failures.values())

    @property
    def begun(self) -> dict[str, int]:
        """How many outages have begun since `start`, by kind: the database is "busy", or its disk "full"."""
        with self._lock:
            return dict(self._begun)

    def start(self) -> None:
        """Log from now on: a server runs."""
        self._started = True

    def failed(self, error: StoreBusy) -> None:
        """Record that a transaction failed; log the first one of an outage."""
        kind = "full" if isinstance(error, StoreFull) else "busy"
        with self._lock:
            self._failures[kind] += 1
            is_known = self._failures[kind] > 1 or not self._started
            self._begun[kind] += not is_known
        if is_known:
            return
        if kind == "full":
            log.error("database out of space", extra={"reason": str(error)})
        else:
            log.error("database unavailable", extra={"reason": str(error)})

    def recovered(self, *, has_room: bool) -> None:
        """Record that the database took a change, and whether it has room for more; log the end of an outage."""
        with self._lock:
            ended = {kind: number for kind, number in self._failures.items() if kind == "busy" or has_room}
            self._failures |= dict.fromkeys(ended, 0)
        if not self._started:
            return
        if ended.get("full"):
            log.warning("database has space again", extra={"failures": ended["full"]})
        if ended["busy"]:
            log.warning("database available again", extra={"failures": ended["busy"]})
