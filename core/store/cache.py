"""A cache of jobs as they were last read; each is compared with the database before it is returned.

Devices poll the state of their jobs, mostly without a change in between. `PRAGMA data_version` of SQLite returns within
microseconds whether another connection has committed. If one has, the version in the job's row tells whether it changed
that job, so commits about other jobs, and those that write nothing, cost no thread and no query for the whole job.
PostgreSQL has no counterpart; with it, nothing is cached.

While a commit of the rollback journal is synced to the disk, SQLite reports that it is busy. A cached job is then still
valid if this process has committed nothing since its last comparison and that is at most `RECENT` old: the other commit
is not complete. A commit of another process may so be noticed late, by at most `RECENT`.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from postscan.core.model.job import Job

MOST: Final = 1000
RECENT: Final = 0.25  # seconds within which a commit of another process is noticed


class Seen(NamedTuple):
    """A state of the database: its version (None if it was busy), how often this process had committed, and when."""

    version: int | None
    commits: int
    at: float


class JobCache:
    """Jobs by token. Never blocks; `None` means that the database must be read."""

    def __init__(self, file: str | None) -> None:
        self._connection = _connect(file) if file else None
        self._lock = threading.Lock()
        self._jobs: dict[str, tuple[Job, Seen]] = {}
        self._commits = 0

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def get(self, token: str, may_see: Callable[[Job], bool]) -> Job | None:
        """Return the job if it is cached and unchanged, and *may_see* is true for it. It is shared: call no verbs.

        A job that the caller may not see takes no longer than one that is not cached.
        """
        with self._lock:
            job, seen = self._jobs.get(token, (None, None))
            if job is None or seen is None or not may_see(job):
                return None
            try:
                now = self._seen()
                if now.version != seen.version and not self._is_stored(job):
                    del self._jobs[token]
                    return None
            except sqlite3.OperationalError:  # busy: another connection's commit is being synced
                is_valid = seen.commits == self._commits and time.monotonic() - seen.at <= RECENT
                return job if is_valid else None
            self._jobs[token] = job, now
            return job

    def seen(self) -> Seen:
        """Return the state of the database; pass it to `put` with a job that is read after this call."""
        with self._lock:
            try:
                return self._seen()
            except sqlite3.OperationalError:
                return Seen(None, self._commits, time.monotonic())

    def put(self, job: Job, seen: Seen) -> None:
        """Cache a job that was read after `seen` returned *seen*."""
        with self._lock:
            if self._connection is None:
                return
            if len(self._jobs) >= MOST:
                del self._jobs[next(iter(self._jobs))]
            self._jobs[job.token] = job, seen

    def committed(self) -> None:
        """Note that this process has committed something."""
        with self._lock:
            self._commits += 1

    def clear(self) -> None:
        """Forget all jobs."""
        with self._lock:
            self._jobs.clear()

    def _seen(self) -> Seen:
        """Return the state of the database; raise `OperationalError` if SQLite is busy."""
        version = self._connection.execute(_VERSION).fetchone()[0] if self._connection is not None else None
        return Seen(version, self._commits, time.monotonic())

    def _is_stored(self, job: Job) -> bool:
        """Return whether the row has the version of the job, which each change that a device is shown raises."""
        assert self._connection is not None
        row = self._connection.execute(_JOB_VERSION, (job.token,)).fetchone()
        return row is not None and row[0] == job.version


_VERSION: Final = "PRAGMA data_version"
_JOB_VERSION: Final = "SELECT version FROM job WHERE token = ?"


def _connect(file: str) -> sqlite3.Connection:
    return sqlite3.connect(file, isolation_level=None, timeout=0, check_same_thread=False)
