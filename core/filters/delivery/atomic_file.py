"""Write a file unseen in an open folder, and link it there when it is complete, under a free name.

Where the file system has nameless files (O_TMPFILE), nothing of it is left if its process is killed. Elsewhere it is
written under a hidden name. A hard link gives it its name: that is exclusive, so no file is ever overwritten.
Where there are no hard links either, renameat2 with RENAME_NOREPLACE does the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MODE: Final = 0o640
_RENAME_NOREPLACE: Final = 1
_NO_HARD_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_NO_NAMELESS_FILES: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)  # EISDIR: older kernels


class AtomicFile:
    """A file without a name: write to `fd`, then call `link_as`."""

    def __init__(self, fd: int, where: int) -> None:
        self.fd = fd
        self._where = where

    def link_as(self, name: str) -> None:
        """Make the file visible as *name*, or raise `FileExistsError`; durable once the folder is synced."""
        os.link(f"/proc/self/fd/{self.fd}", name, dst_dir_fd=self._where)


class NamedAtomicFile(AtomicFile):
    """A file that has a hidden name until then."""

    def __init__(self, fd: int, where: int, name: str) -> None:
        super().__init__(fd, where)
        self._name = name

    def link_as(self, name: str) -> None:
        """Make the file visible as *name*, or raise `FileExistsError`."""
        try:
            os.link(self._name, name, src_dir_fd=self._where, dst_dir_fd=self._where, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            _rename_exclusively(self._name, name, self._where)


@contextlib.contextmanager
def atomic_file(where: int, hidden: str) -> Iterator[AtomicFile]:
    """Yield a new file in the open folder *where*; a file that was not linked is removed afterwards.

    *hidden* is its name as long as it needs one. An older file of this name is left from a killed run, and removed.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(hidden, dir_fd=where)
    fd = _nameless(where)
    if fd is not None:
        try:
            yield AtomicFile(fd, where)
        finally:
            os.close(fd)
        return
    fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE, dir_fd=where)
    try:
        yield NamedAtomicFile(fd, where, hidden)
    finally:
        os.close(fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(hidden, dir_fd=where)


def _nameless(where: int) -> int | None:
    """Open a file without a name; return None where that, or linking it later, is not possible."""
    if not Path("/proc/self/fd").exists():
        return None
    try:
        return os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, _MODE, dir_fd=where)
    except OSError as error:
        if error.errno not in _NO_NAMELESS_FILES:
            raise
        return None


def _rename_exclusively(source: str, target: str, where: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(where, os.fsencode(source), where, os.fsencode(target), _RENAME_NOREPLACE)
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)
