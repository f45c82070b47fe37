"""One writer of an SQLite file at a time, across processes: a lock that each transaction which writes holds to its end.

SQLite has such a lock of its own. It does not keep a writer from beginning while another connection copies the
write-ahead log into the database, and versions before 3.51.3 can then lose commits: decision 66. A connection copies
the log within its COMMIT, so this lock keeps the two apart.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postscan.core.errors import StoreBusy, StoreFull

_PAUSE: Final = 0.001  # seconds
_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class WriteLock:
    """The lock on two files beside the database *file*, which are made if they are missing; a gate of transactions.

    A process that waits for the lock holds the turn, the lock of the other file, until it has it. So one that writes
    again and again takes turns with the others.

    The kernel releases both when the process ends. It distinguishes processes and not threads, so a gate for one
    thread stands before it.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._paths = (Path(f"{file}.write-turn"), Path(f"{file}.write-lock"))
        self._descriptors: tuple[int, ...] = ()
        self._used = threading.Lock()

    def close(self) -> None:
        """Close the files. During a transaction, which would lose the lock, leave that to the end of the process."""
        if not self._used.acquire(blocking=False):
            return
        try:
            for descriptor in self._descriptors:
                os.close(descriptor)
            self._descriptors = ()
        finally:
            self._used.release()

    @contextlib.contextmanager
    def entered(self, *, urgent: bool, until: float) -> Iterator[None]:
        """Hold the lock while the body runs; raise `StoreBusy` if it is not free before `time.monotonic()` is *until*.

        Of the transactions of several processes, an *urgent* one has no precedence.
        """
        with self._used:
            turn, lock = self._opened()
            _take(turn, until)
            try:
                _take(lock, until)
            finally:
                fcntl.flock(turn, fcntl.LOCK_UN)
            try:
                yield
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)

    def _opened(self) -> tuple[int, ...]:
        try:
            while len(self._descriptors) < len(self._paths):
                self._descriptors += (_open(self._paths[len(self._descriptors)], self._file),)
        except OSError as error:
            kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreBusy
            raise kind(f"the database does not answer: {error.filename}: {error.strerror}") from error
        return self._descriptors


def _open(path: Path, database: str) -> int:
    """Open a file, or make it: a command of root makes it for the owner of the *database*, as SQLite its own files."""
    try:
        descriptor = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, _FLAGS)
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # there is no database yet, or the file system has no owners
            owner = Path(database).stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def _take(descriptor: int, until: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise StoreBusy("the database does not answer: another process writes") from None
            time.sleep(_PAUSE)
        else:
            return
