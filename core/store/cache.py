"""A cache of jobs as they were last read, valid until the next commit to the database.

Devices poll the state of their jobs, mostly without a change in between. `PRAGMA data_version` of SQLite returns within
microseconds whether another connection has committed, so a cached job needs neither a thread nor three queries.
PostgreSQL has no counterpart; with it, nothing is cached.

While a commit is synced to the disk, SQLite reports that it is busy. Cached jobs are then still valid if this process
has committed nothing since the last check and that check is at most `RECENT` old: the other commit is not complete. A
commit of another process may so be noticed late, by at most `RECENT`.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import Final

from postscan.core.model.job import Job

MOST: Final = 1000
RECENT: Final = 0.25  # seconds within which a commit of another process is noticed


class JobCache:
    """Jobs by token. Never blocks; `None` means that the database must be read."""

    def __init__(self, file: str | None) -> None:
        self._connection = _connect(file) if file else None
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._version = 0
        self._checked = 0.0
        self._stale = True

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def get(self, token: str) -> Job | None:
        """Return the job if it is cached and unchanged. It is shared: do not call its verbs."""
        with self._lock:
            return self._jobs.get(token) if self._is_current() else None

    def version(self) -> int:
        """Return the version of the database; pass it to `put` with a job that is read after this call."""
        with self._lock:
            self._is_current()
            return self._version

    def put(self, job: Job, version: int) -> None:
        """Cache a job that was read after `version` returned *version*, unless the database has changed since."""
        with self._lock:
            if self._connection is None or self._stale or version != self._version:
                return
            if len(self._jobs) >= MOST:
                self._jobs.clear()
            self._jobs[job.token] = job

    def invalidate(self) -> None:
        """Invalidate the cache after a commit of this process."""
        with self._lock:
            self._stale = True

    def _is_current(self) -> bool:
        """Clear the cache if the database has changed; return whether its content is valid."""
        if self._connection is None:
            return False
        try:
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.OperationalError:  # busy: another connection's commit is being synced
            return not self._stale and time.monotonic() - self._checked <= RECENT
        if version != self._version or self._stale:
            self._jobs.clear()
            self._version, self._stale = version, False
        self._checked = time.monotonic()
        return True


def _connect(file: str) -> sqlite3.Connection:
    return sqlite3.connect(file, isolation_level=None, timeout=0, check_same_thread=False)
