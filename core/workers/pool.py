"""Start worker processes ahead of need, and lend each to one run."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import queue
import sys
import threading
from collections.abc import Iterator
from multiprocessing import forkserver
from typing import Any, Final

from postscan.core.workers import orphans, supervisor
from postscan.core.workers.slot import Closed, Slot

log = logging.getLogger(__name__)

WARM: Final = 2
_TRIES: Final = 3
_forkserver_starts = threading.Lock()


class Workers:
    """All slots. Closing it ends every worker at once."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([supervisor.__name__])
        self._warm: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self._live: set[Slot] = set()
        self._lock = threading.Lock()
        self._closed = False

    def warm_up(self) -> None:
        """Start the first slots, so that the first job does not wait for them."""
        while self._warm.qsize() < WARM and not self._closed:
            self._warm.put(self._start())

    @contextlib.contextmanager
    def slot(self) -> Iterator[Slot]:
        """Lend a slot for one order; nothing that it started is left afterwards."""
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
        slot = _first_that_starts(self._context)
        with self._lock:
            if not self._closed:
                self._live.add(slot)
                return slot
        slot.end()
        raise Closed("the server is stopping")

    def _end(self, slot: Slot) -> None:
        if not slot.end():
            with self._lock:
                keepers = {one.keeper for one in self._live}
            strays = orphans.end_unattached(keepers)
            log.warning("the keeper of a run was killed; it left %d processes, which are ended", strays)
        with self._lock:
            self._live.discard(slot)


def _first_that_starts(context: Any) -> Slot:
    """Start a slot; again if the forkserver dies meanwhile, which the next start mends."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(OSError, EOFError):
            return _started(context)
    return _started(context)


def _started(context: Any) -> Slot:
    with _forkserver_starts, _main_hidden():
        os.environ[orphans.MARK] = orphans.mark()  # for the forkserver and all that comes of it
        try:
            forkserver.ensure_running()
        finally:
            del os.environ[orphans.MARK]
        return Slot(context)


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep multiprocessing from running this program's main script again in every worker, which needs nothing of it."""
    main = sys.modules["__main__"].__dict__
    file = main.pop("__file__", None)
    try:
        yield
    finally:
        if file is not None:
            main["__file__"] = file
