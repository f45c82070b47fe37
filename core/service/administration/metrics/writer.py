"""Writes the metrics of a running server to a file, every few seconds, in a thread of its own.

The console, which is another process, adds its own and serves both. The file is replaced in one step, so that a reader
finds a whole one, and is removed when the server stops.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from postscan.core.errors import StoreBusy
from postscan.core.model.states import JobState
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

FILE: Final = "metrics.prom"
"""Name of the file in the data folder."""

SECONDS: Final = 5.0
"""Between two times at which the file is written."""

OLD: Final = 30.0
"""Seconds after which the file is not read: its server was killed."""

_PAGES: Final = 50
"""Most pages of events that are counted before the file is written: a flood of them does not keep it old."""


class Metrics:
    """The metrics of one server. `begin` before its first change, then `written` while it runs."""

    def __init__(self, store: Store, watched: Watched) -> None:
        self._store = store
        self._folder: Callable[[], Path] = lambda: watched.settings().storage.data_dir
        self._registry = CollectorRegistry()
        self._condition = ConditionCollector(watched)
        self._registry.register(self._condition)
        ProcessCollector(namespace="postscan_server", registry=self._registry)
        self._happenings = Happenings(self._registry, lambda dialect: _plugin(watched, dialect))
        self._cursor = 0
        self._has_failed = False
        self._stop = threading.Event()

    def begin(self) -> None:
        """Count the events that are stored from now on. Raises `StoreBusy`."""
        with self._store.reading() as db:
            self._cursor = events.newest(db)

    def watch_connections(self, connections: Callable[[], ConnectionUse]) -> None:
        """Tell the connections of clients as well; *connections* is called in another thread."""
        self._condition.connections = connections

    @contextlib.contextmanager
    def written(self, seconds: float = SECONDS) -> Iterator[None]:
        """Write the file every so many seconds while the body runs; remove it at the end."""
        thread = threading.Thread(target=self._loop, args=(seconds,), name="postscan-metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            with contextlib.suppress(OSError):
                self._path().unlink(missing_ok=True)

    def update(self) -> None:
        """Count what is new, read what is true now, and write the file. Raises `OSError`."""
        try:
            for _ in range(_PAGES):
                if not self._count_page():
                    break
            self._condition.stored = self._read()
        except StoreBusy:  # the store has logged it; what is not counted yet is counted next time
            self._condition.stored = None
        _replace(self._path(), generate_latest(self._registry))

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

    def _path(self) -> Path:
        return self._folder() / FILE

    def _loop(self, seconds: float) -> None:
        while not self._stop.is_set():
            try:
                self.update()
                self._has_failed = False
            except OSError as error:
                self._report(str(error))
            except Exception:
                if not self._has_failed:
                    log.exception("metrics failed")
                self._has_failed = True
            self._stop.wait(seconds)

    def _report(self, reason: str) -> None:
        """Log that the file cannot be written, once until it can."""
        if not self._has_failed:
            log.warning("metrics not written", extra={"file": str(self._path()), "reason": reason})
        self._has_failed = True

    def _count_page(self) -> bool:
        """Count the next page of events; return whether others may follow."""
        with self._store.reading() as db:
            rows = events.of_jobs_behind(db, self._cursor, pages.PART)
        if not rows:
            return False
        touched = sorted({row.token for row in rows if row.kind in events.ENDING})
        steps = of_jobs(self._store.reading, touched, events.ended_steps)
        created = dict(of_jobs(self._store.reading, touched, events.created))
        self._cursor = rows[-1].seq  # first: an event that fails must not have those before it counted again
        self._happenings.count(rows, steps, created)
        return len(rows) >= pages.PART


def read(folder: Path) -> str:
    """Return the metrics of the server with this data folder; "" if none has written them in the last `OLD` seconds."""
    try:
        with (folder / FILE).open(encoding="utf-8") as file:
            age = time.time() - os.fstat(file.fileno()).st_mtime
            return file.read() if age < OLD else ""
    except OSError:
        return ""


def _open(state: JobState, db: Transaction, last: UnendedJob | None, most: int) -> list[UnendedJob]:
    return jobs.open_in_state(db, state, last, most)


def _plugin(watched: Watched, dialect: str) -> str | None:
    found = watched.catalogue().find(dialect)
    return found[0].name if found else None


def _replace(path: Path, data: bytes) -> None:
    """Replace a file in one step. It is not synced: after a crash the next server writes its own."""
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    part.replace(path)
