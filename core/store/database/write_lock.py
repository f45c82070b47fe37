"""One writer of an SQLite file at a time, across processes: a lock that each transaction which writes holds to its end.

SQLite has such a lock of its own. It does not keep a writer from beginning while another connection copies the
write-ahead log into the database, and versions before 3.51.3 can then lose commits: decision 66. A connection
copies the log within its COMMIT, so this lock keeps the two apart.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postscan.core.errors import StoreBusy, StoreFull

_PAUSE: Final = 0.001  # seconds


class WriteLock:
    """The lock on the file *path*, which is made if it is missing; a gate of transactions.

    The kernel releases the lock when the process ends. It distinguishes processes and not threads, so a gate for one
    thread stands before it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextlib.contextmanager
    def entered(self, *, urgent: bool, until: float) -> Iterator[None]:
        """Hold the lock while the body runs; raise `StoreBusy` if it is not free before `time.monotonic()` is *until*.

        Of the transactions of several processes, an *urgent* one has no precedence.
        """
        descriptor = self._opened()
        while not _taken(descriptor):
            if time.monotonic() > until:
                raise StoreBusy("the database does not answer: another process writes")
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _opened(self) -> int:
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreBusy
                raise kind(f"the database does not answer: {self._path}: {error.strerror}") from error
        return self._descriptor


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
