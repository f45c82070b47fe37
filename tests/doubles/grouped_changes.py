"""Changes that wait in line for the writer of SQLite, and a COMMIT that fails."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import sqlalchemy as sa

from postscan.core.model.job import Job
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME

SOON = 30.0  # seconds; only ends a test that has failed
MakeJob = Callable[..., Job]
Change = Callable[[], object]


class Line:
    """Changes that wait in line, in the order in which they were added, behind one that stands still."""

    def __init__(self, store: Store, threads: ThreadPoolExecutor, over: threading.Event) -> None:
        self.go = over.set
        group = store._database._group
        assert group is not None, "the database has several writers"
        self._turns = group._turns
        self._threads = threads

    def add(self, change: Change) -> Future[object]:
        """Let a thread begin a change; return when it waits, or has waited in vain."""
        before = len(self._turns)
        future = self._threads.submit(change)
        until = time.monotonic() + SOON
        while len(self._turns) == before and not future.done():
            assert time.monotonic() < until, "the change does not wait"
            time.sleep(0.001)
        return future


@contextlib.contextmanager
def line(store: Store) -> Iterator[Line]:
    """Stand still in a change while the body runs, and join the changes that the body adds."""
    inside, over = threading.Event(), threading.Event()

    def stand() -> None:
        with store.writing():
            inside.set()
            assert over.wait(SOON)

    with ThreadPoolExecutor(20) as threads:
        standing = threads.submit(stand)
        assert inside.wait(SOON)
        try:
            yield Line(store, threads, over)
        finally:
            over.set()
            standing.exception(SOON)


@contextlib.contextmanager
def commits(raising: list[Exception] | None = None) -> Iterator[list[bool]]:
    """Yield a list that gets an item for each COMMIT; a COMMIT takes an error of *raising* and fails with it."""
    found: list[bool] = []

    def commit(_db: sa.Connection) -> None:
        found.append(True)
        if raising:
            raise raising.pop()

    sa.event.listen(sa.Engine, "commit", commit)
    try:
        yield found
    finally:
        sa.event.remove(sa.Engine, "commit", commit)


def failure(code: int) -> sa.exc.OperationalError:
    """Return the error of a COMMIT with this code of SQLite."""
    error = sqlite3.OperationalError("the disk")
    error.sqlite_errorcode = code
    return sa.exc.OperationalError("COMMIT", None, error)


def tokens(store: Store) -> list[str]:
    """Return the jobs that are stored."""
    return sorted(job.token for job in store.open_jobs())


def cancel(store: Store, job: MakeJob) -> None:
    """Cancel the job that *job* makes."""
    with store.urgent(), store.change(job().token) as changed:
        changed.cancel(EXAMPLE_TIME)
