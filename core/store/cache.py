"""Jobs as they were last read, for as long as it is certain that nobody has changed them since.

Devices ask for the state of their jobs again and again, and mostly nothing has happened. SQLite can tell within
microseconds whether any other connection has committed (`PRAGMA data_version`), so such a question needs neither a
thread nor three queries. PostgreSQL has no such word; there, nothing is remembered.

While a commit is being synced to the disk, SQLite does not answer. If this process has committed nothing since the
last look, and that look is recent, what is remembered still stands: a commit that is not finished has not happened.
Another process' commit may then be seen late, by at most `RECENT`.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import Final

from postscan.core.model.job import Job

MOST: Final = 1000
RECENT: Final = 0.25  # seconds; how fast this server promises to see what another process did


class JobCache:
    """What is known of jobs. Never blocks; `None` means "ask the database"."""

    def __init__(self, file: str | None) -> None:
        self._connection = _connect(file) if file else None
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._version = 0
        self._looked = 0.0
        self._stale = True

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()

    def recall(self, token: str) -> Job | None:
        """Return the job if it is remembered and unchanged. It is shared: do not call its verbs."""
        with self._lock:
            return self._jobs.get(token) if self._certain() else None

    def look(self) -> int:
        """Return a number to give to `learn`: it says since when a job has been read."""
        with self._lock:
            self._certain()
            return self._version

    def learn(self, job: Job, seen: int) -> None:
        """Remember a job that was read after `look` returned *seen*, unless something has changed since then."""
        with self._lock:
            if self._connection is None or self._stale or seen != self._version:
                return
            if len(self._jobs) >= MOST:
                self._jobs.clear()
            self._jobs[job.token] = job

    def forget(self) -> None:
        """Hear that this process has committed something."""
        with self._lock:
            self._stale = True

    def _certain(self) -> bool:
        """Drop what has changed; return whether the rest can be relied on."""
        if self._connection is None:
            return False
        try:
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.OperationalError:  # busy: somebody's commit is on its way to the disk
            return not self._stale and time.monotonic() - self._looked <= RECENT
        if version != self._version or self._stale:
            self._jobs.clear()
            self._version, self._stale = version, False
        self._looked = time.monotonic()
        return True


def _connect(file: str) -> sqlite3.Connection:
    return sqlite3.connect(file, isolation_level=None, timeout=0, check_same_thread=False)
