"""Expire the jobs of silent devices, and remove what is no longer kept: one thread, in small transactions.

A sweep may have much to do, and the disk may be slow. No cancel and no claim waits for it: it has a thread of its own,
each of its transactions changes few jobs, and in the pause behind each one the others get the database. Devices that
fall silent are looked for in every pause, however long the rest takes.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator
from typing import Final

from postscan.core.clock import Clock
from postscan.core.cluster.arriving_images import ArrivingImages, NoOtherServers
from postscan.core.cluster.leadership import AlwaysLeader, Leadership
from postscan.core.errors import StoreBusy
from postscan.core.spool.retention import Retention
from postscan.core.spool.shared_looks import SharedLooks
from postscan.core.spool.uploads import Uploads
from postscan.core.store import retention
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
"""Seconds between two looks for silent devices."""

SWEEP_SECONDS: Final = 60.0
"""Seconds between the starts of two sweeps of retention."""

PAUSE_SECONDS: Final = 0.01
"""Seconds behind each transaction in which other transactions can begin."""

STOP_SECONDS: Final = 5.0
"""How long a stop waits for a transaction or a file that takes long."""


class Sweeper:
    """Sweeps from `start` to `stop`, while this process leads. Stop it before the store is closed.

    *looks* are those at a shared spool.
    """

    def __init__(
        self,
        store: Store,
        uploads: Uploads,
        retention: Retention,
        clock: Clock,
        leadership: Leadership | None = None,
        arriving: ArrivingImages | None = None,
        looks: SharedLooks | None = None,
    ) -> None:
        self._arriving = arriving or NoOtherServers()
        self._leadership = leadership or AlwaysLeader()
        self._store = store
        self._uploads = uploads
        self._retention = retention
        self._clock = clock
        self._looks = looks
        self._due = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="postscan-sweeper", daemon=True)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further transaction; wait for the one that is open."""
        self._stopped.set()
        self._thread.join(STOP_SECONDS)

    def batches(self) -> Iterator[None]:
        """Do what is due; yield behind each transaction."""
        yield from self.expire()
        now = self._clock.ticks()
        if now < self._due:
            return
        self._due = now + SWEEP_SECONDS
        looks = self._looks.batches() if self._looks else ()
        for _ in itertools.chain(self._retention.batches(), looks):
            yield
            yield from self.expire()

    def expire(self) -> Iterator[None]:
        """Abort the jobs whose devices have sent nothing until their deadline; yield behind each transaction."""
        idle = (token for token in self._store.idle(self._clock.ticks()) if token not in self._uploads)
        while batch := list(itertools.islice(idle, retention.BATCH)):
            elsewhere = self._arriving.elsewhere(batch)
            silent = [token for token in batch if token not in elsewhere]
            for token in self._store.expire(silent, self._clock.ticks(), self._clock.now()):
                log.warning("job timed out", extra={"job": token})
            yield

    def _leads(self) -> bool:
        return self._leadership.is_leader

    def _loop(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            if not self._leads():
                continue
            try:
                for _ in self.batches():
                    if self._stopped.wait(PAUSE_SECONDS):
                        return
                    if not self._leads():
                        break
            except StoreBusy:
                pass  # the store has logged it; the next sweep finds what this one has not
            except Exception:
                log.exception("sweep failed")
