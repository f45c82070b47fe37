"""A file of a source that becomes a page: opened without leaving its folder, then copied or moved into the spool.

The process of the source is alive meanwhile and is not trusted: it may exchange a file or a folder for a link at any
moment. So each folder on the way is opened without following links, and a file is copied through one descriptor. A file
is moved only if it has no other name, and if a lease of the kernel says that it is open for writing nowhere.
Source: fcntl(2), *Leases*.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self

from postscan.core.errors import OriginRefused

CHUNK: Final = 256 << 10
"""Bytes of a page that are copied at a time, always through the same memory: the processor's cache holds so many."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class PageFile:
    """An open regular file below *folder*; leaving its block closes it. Raises `OriginRefused` for anything else."""

    def __init__(self, folder: Path, path: str) -> None:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts:
            raise OriginRefused("the page is no file of the source")
        self._name = parts[-1]
        with contextlib.ExitStack() as opened:
            try:
                self._folder = _opened(opened, folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                for part in parts[:-1]:
                    self._folder = _opened(opened, part, _FOLDER, self._folder)
                self._descriptor = _opened(opened, self._name, _FILE, self._folder)
            except OSError as error:
                raise _unreadable(error) from None
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise OriginRefused("the page is no regular file")
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def chunks(self) -> Iterator[memoryview]:
        """Yield its bytes, each time in the same memory; raise `OriginRefused` if they cannot be read."""
        memory = memoryview(bytearray(CHUNK))
        try:
            while size := os.readv(self._descriptor, [memory]):
                yield memory[:size]
        except OSError as error:
            raise _unreadable(error) from None

    def move_to(self, target: Path) -> bool:
        """Put it in place of the file at *target*; return False if that is not possible, and nothing has changed.

        Afterwards it is open for writing nowhere, and has no other name. Raises `OriginRefused` if it was exchanged or
        opened meanwhile: then some other file may be at *target*.
        """
        found = os.fstat(self._descriptor)
        if found.st_nlink != 1:
            return False
        with _read_lease(self._descriptor) as leased:
            if not leased or not self._renamed(target):
                return False
            if not os.path.samestat(found, target.lstat()) or not _has_lease(self._descriptor):
                raise OriginRefused("the page was changed while it was taken")
        os.fchmod(self._descriptor, 0o600)
        return True

    def _renamed(self, target: Path) -> bool:
        """Rename the file; return whether that was possible, which it is not if the target is on another disk."""
        try:
            os.rename(self._name, target, src_dir_fd=self._folder)
        except OSError:
            return False
        return True


def _opened(opened: contextlib.ExitStack, path: Path | str, flags: int, below: int | None = None) -> int:
    descriptor = os.open(path, flags, dir_fd=below)
    opened.callback(os.close, descriptor)
    return descriptor


def _unreadable(error: OSError) -> OriginRefused:
    return OriginRefused(f"the page cannot be read: {error.strerror}")


@contextlib.contextmanager
def _read_lease(descriptor: int) -> Iterator[bool]:
    """Lend a read lease: none is given while the file is open for writing, and no such open passes it unnoticed.

    Yields False where there is none, also on file systems that know no leases.
    """
    try:
        # A process that opens the file breaks the lease by a signal: this one is ignored, the usual one ends a process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _has_lease(descriptor: int) -> bool:
    return fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK
