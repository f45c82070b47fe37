"""Start worker processes before they are needed, and give each to one run."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Iterator
from typing import Final

from postscan.core.workers import orphans
from postscan.core.workers.slot import Closed, Slot

log = logging.getLogger(__name__)

WARM: Final = 2
"""Slots that are started before a run needs them."""

_TRIES: Final = 3


class Workers:
    """All slots of an engine. It starts no process before the first slot is needed; closing it ends every worker."""

    def __init__(self) -> None:
        self._warm: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self._live: set[Slot] = set()
        self._lock = threading.Lock()
        self._warming = threading.Lock()
        self._closed = False

    def warm_up(self) -> None:
        """Start the first slots, so that the first job does not wait for them."""
        with self._warming:  # runs that begin together would each see that one is missing
            while self._warm.qsize() < WARM and not self._closed:
                self._warm.put(self._start())

    @contextlib.contextmanager
    def slot(self) -> Iterator[Slot]:
        """Yield a slot for one order; every process that it started has ended afterwards. Raises `Closed`."""
        try:
            slot = self._warm.get_nowait()
        except queue.Empty:
            slot = self._start()
        else:
            threading.Thread(target=self._refill, name="postscan-warm", daemon=True).start()
        try:
            yield slot
        finally:
            self._end(slot)

    def close(self) -> None:
        """End every worker that is left."""
        with self._lock:
            self._closed = True
            left = list(self._live)
        for slot in left:
            slot.kill()  # all at once, then wait for each
        for slot in left:
            self._end(slot)

    def _refill(self) -> None:
        with contextlib.suppress(OSError, EOFError, Closed):
            self.warm_up()

    def _start(self) -> Slot:
        slot = _first_that_starts()
        with self._lock:
            if not self._closed:
                self._live.add(slot)
                return slot
        slot.end()
        raise Closed("the server is stopping")

    def _end(self, slot: Slot) -> None:
        if not slot.end():
            with self._lock:
                supervisors = {one.supervisor for one in self._live}
            ended = orphans.end_unattached(supervisors)
            log.warning("supervisor killed", extra={"orphans": ended})
        with self._lock:
            self._live.discard(slot)


def _first_that_starts() -> Slot:
    """Start a slot; try again if the forkserver ends meanwhile, since the next try starts another one."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(OSError, EOFError):
            return Slot()
    return Slot()
