"""Room on the disk that is given up when the database has none, so that a cancel can be stored on a full disk.

The ballast is a file of the data folder whose blocks are allocated. A change that must be stored gives up one slice
after another until the database has room: a filter that goes on writing takes what is freed as well, and gets one slice
at a time. The ballast is allocated again when the disk has room. A file below its size is the sign for other processes
that the database was out of space.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from postscan.core.errors import StoreFull

log = logging.getLogger(__name__)

NAME: Final = "ballast"
SLICE: Final = 1 << 20  # bytes
_PATIENCE: Final = 4.0  # seconds for which a change is tried again
_PAUSE: Final = 0.02  # seconds

_T = TypeVar("_T")


class Ballast:
    """The ballast of one data folder: *size* bytes, and *reserve* bytes that stay free beside it when it is allocated.

    Safe to use from several threads and processes. With a size of 0 there is none.
    """

    def __init__(self, folder: Path, size: int, reserve: int) -> None:
        self._path = folder / NAME
        self._size = size
        self._reserve = reserve
        self._lock = threading.Lock()

    def spend_on(self, change: Callable[[], _T]) -> _T:
        """Return what *change* returns; while it raises `StoreFull`, give up a slice and call it again."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return change()
            except StoreFull:
                if time.monotonic() > until or not self._path.exists():
                    raise
                if not self._give_up_a_slice():
                    time.sleep(_PAUSE)  # the run that fills the disk may be stopped meanwhile

    def allocate(self) -> bool:
        """Allocate what is missing, if the disk has room for it beside the reserve; return whether nothing is."""
        with self._lock:
            try:
                return self._allocate()
            except OSError as error:
                log.debug("ballast not allocated", extra={"reason": str(error)})
                return False

    def _allocate(self) -> bool:
        if not self._size:
            self._path.unlink(missing_ok=True)
            return True
        with self._opened(os.O_CREAT) as file:
            kept = os.fstat(file).st_size
            if kept == self._size:
                return True
            disk = os.fstatvfs(file)
            if self._size - kept > disk.f_bavail * disk.f_frsize - self._reserve:
                return False
            try:
                if self._size > kept:
                    os.posix_fallocate(file, kept, self._size - kept)
                os.ftruncate(file, self._size)
            except OSError:
                os.ftruncate(file, kept)
                raise
            os.fsync(file)
        return True

    def _give_up_a_slice(self) -> bool:
        """Free some blocks; return False if there are none left."""
        with self._lock, self._opened() as file:
            kept = os.fstat(file).st_size
            if not kept:
                return False
            os.ftruncate(file, max(0, kept - SLICE))
            os.fsync(file)  # some file systems free the blocks with their next commit only
        log.warning("ballast given up for the database", extra={"bytes": max(0, kept - SLICE)})
        return True

    @contextlib.contextmanager
    def _opened(self, flags: int = 0) -> Iterator[int]:
        file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
        try:
            yield file
        finally:
            os.close(file)
