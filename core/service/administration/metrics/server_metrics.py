"""The metrics of one process: counted from the stored events, read from its parts, and rendered every few seconds.

Who asks for them, however often, gets what was rendered last, so that questions cost nothing.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from postscan.core.errors import StoreBusy
from postscan.core.model.states import JobState
from postscan.core.service.administration.metrics import metrics_socket
from postscan.core.service.administration.metrics.condition import (
    ConditionCollector,
    ConnectionUse,
    StoredFigures,
    Watched,
)
from postscan.core.service.administration.metrics.happenings import Happenings
from postscan.core.store import events, jobs
from postscan.core.store.database import Transaction, pages
from postscan.core.store.database.pages import in_pages, of_jobs
from postscan.core.store.jobs import UnendedJob
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

SECONDS: Final = 5.0
"""Between two times at which the metrics are rendered."""

OLD: Final = 30.0
"""Seconds after which they are not given any more: their thread hangs."""

_PAGES: Final = 50
"""Most pages of events that are counted before they are rendered: a flood of them does not keep them old."""


class Metrics:
    """The metrics of one process. `begin` before its first change, then `served` while it runs.

    A part with metrics of its own gives a collector to `add`: names as in `docs/metrics.md`, no label whose values a
    client decides, and no metric for what the part does not know.
    """

    def __init__(self, store: Store, watched: Watched, ticks: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._watched = watched
        self._ticks = ticks
        self._registry = CollectorRegistry()
        self._condition = ConditionCollector(watched)
        self._registry.register(self._condition)
        ProcessCollector(namespace="postscan_server", registry=self._registry)
        self._happenings = Happenings(self._registry, lambda dialect: _plugin(watched, dialect))
        self._cursor = 0
        self._has_failed = False
        self._stop = threading.Event()
        self._page, self._rendered = b"", -OLD

    def begin(self) -> None:
        """Count the events that are stored from now on. Raises `StoreBusy`."""
        with self._store.reading() as db:
            self._cursor = events.newest(db)

    def add(self, collector: Collector) -> None:
        """Serve the metrics of this collector as well, which is asked in another thread and must not block.

        Raises `ValueError` if it describes a metric that another one has.
        """
        self._registry.register(collector)

    def watch_connections(self, connections: Callable[[], ConnectionUse]) -> None:
        """Tell the connections of clients as well; *connections* is called in another thread."""
        self._condition.connections = connections

    @contextlib.contextmanager
    def served(self, seconds: float = SECONDS) -> Iterator[None]:
        """Render the metrics every so many seconds while the body runs, and give them to the console."""
        thread = threading.Thread(target=self._loop, args=(seconds,), name="postscan-metrics", daemon=True)
        thread.start()
        try:
            with metrics_socket.served(self._watched.settings().storage.data_dir, self.page):
                yield
        finally:
            self._stop.set()
            thread.join()

    def page(self) -> bytes:
        """Return the metrics as they were rendered last; b"" if that is longer ago than `OLD` seconds."""
        page, rendered = self._page, self._rendered
        return page if self._ticks() - rendered < OLD else b""

    def update(self) -> None:
        """Count what is new, read what is true now, and render the page."""
        try:
            for _ in range(_PAGES):
                if not self._count_page():
                    break
            self._condition.stored = self._read()
        except StoreBusy:  # the store has logged it; what is not counted yet is counted next time
            self._condition.stored = None
        self._page = generate_latest(self._registry)
        self._rendered = self._ticks()

    def _read(self) -> StoredFigures:
        """Return what the database says now, read in pages."""
        numbers, oldest = dict[JobState, int](), None
        for state in JobState:
            if state.ended:
                continue
            numbers[state] = 0
            for number, one in enumerate(in_pages(self._store.reading, partial(_open, state)), 1):
                numbers[state] = number
                if state is JobState.PENDING and number == 1:
                    oldest = one.created
        return StoredFigures(numbers, oldest, sum(one.kept for one in self._store.usages()))

    def _loop(self, seconds: float) -> None:
        while not self._stop.is_set():
            try:
                self.update()
                self._has_failed = False
            except Exception:
                if not self._has_failed:
                    log.exception("metrics failed")
                self._has_failed = True
            self._stop.wait(seconds)

    def _count_page(self) -> bool:
        """Count the next page of events; return whether others may follow."""
        with self._store.reading() as db:
            rows = events.of_jobs_behind(db, self._cursor, pages.PART)
        if not rows:
            return False
        for token, at in self._watched.interrupted():  # behind the rows: a job is interrupted before it ends
            self._happenings.note_interrupt(token, at)
        touched = sorted({row.token for row in rows if row.kind in events.ENDING})
        steps = of_jobs(self._store.reading, touched, events.ended_steps)
        created = dict(of_jobs(self._store.reading, touched, events.created))
        self._cursor = rows[-1].seq  # first: an event that fails must not have those before it counted again
        self._happenings.count(rows, steps, created)
        return len(rows) >= pages.PART


def _open(state: JobState, db: Transaction, last: UnendedJob | None, most: int) -> list[UnendedJob]:
    return jobs.open_in_state(db, state, last, most)


def _plugin(watched: Watched, dialect: str) -> str | None:
    found = watched.catalogue().find(dialect)
    return found[0].name if found else None
