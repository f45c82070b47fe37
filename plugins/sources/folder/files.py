"""One file of a folder that others write to: open it, copy it, and remove just what was copied.

Every call takes the folder as a descriptor and a name in it, follows no symbolic link, and waits for no other end of a
pipe. Between two calls a name may lead to another file, so what was opened is compared with what was looked at, and
what is removed with what was opened.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from postscan.plugins.sources.folder import names

CHUNK: Final = 1 << 20
"""Bytes of a file in memory."""

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS: Final = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
    stat.S_IFDIR: "a folder",
}


class FileGone(Exception):
    """The name leads to no file, or to another one than before."""


class FileWaits(Exception):
    """The file is no job yet; `seconds` is when to look again although it has not changed, None for never."""

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class FileUnfit(Exception):
    """The file never becomes a job; the text says why."""


class FileVersion(NamedTuple):
    """What is known of a file without reading it; two different versions of a file are different here."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> FileVersion:
        """Return the version in the result of `os.stat`."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def has_content_of(self, other: FileVersion) -> bool:
        """Return whether both are one file that was not written between; its name and rights may have changed."""
        return self[:4] == other[:4]


def kind_of(mode: int) -> str:
    """Return what a file is that is no regular one, in words; "" for a regular file."""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no regular file")


def look_at(folder: int, name: str) -> os.stat_result:
    """Return the status of what a name leads to, be it a link. Raises `FileGone`, or `OSError`."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        raise FileGone from None


@contextlib.contextmanager
def opened(folder: int, name: str, version: FileVersion) -> Iterator[int]:
    """Lend the descriptor of a regular file that has one name and is of this version.

    Raises `FileGone` if it is of another version by now, `FileUnfit` or `FileWaits` if it cannot be taken.
    """
    try:
        file = os.open(name, _FLAGS, dir_fd=folder)
    except FileNotFoundError:
        raise FileGone from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise FileGone from None
        raise
    try:
        found = os.fstat(file)
        if FileVersion.of(found) != version:
            raise FileGone
        if kind_of(found.st_mode):
            raise FileUnfit(f"it is {kind_of(found.st_mode)}")
        if found.st_nlink != 1:
            raise FileWaits("it has a second name (hard link), perhaps outside this folder")
        yield file
    finally:
        os.close(file)


def is_open_for_writing(file: int) -> bool:
    """Return whether a program of this machine has the file open for writing; False if that cannot be said.

    The kernel grants a read lease only if none has, and only to the owner of the file or with CAP_LEASE. The lease is
    given back at once. If a program opens the file just then, the signal of the kernel is one that is ignored.

    Source: fcntl(2), F_SETLEASE and F_SETSIG.
    """
    try:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def copy(file: int, version: FileVersion, target: Path, check: Callable[[], object]) -> str:
    """Copy a file of this version, and return the SHA-256 of its content; *check* is called before each chunk.

    Raises `FileGone` if it was written meanwhile, and `OSError`.
    """
    digest = hashlib.sha256()
    size = 0
    with open(target, "xb", opener=_private) as copied:
        while size <= version.size:
            check()
            chunk = os.pread(file, CHUNK, size)
            if not chunk:
                break
            digest.update(chunk)
            copied.write(chunk)
            size += len(chunk)
    if size != version.size or FileVersion.of(os.fstat(file)) != version:
        raise FileGone
    return digest.hexdigest()


def remove(folder: int, name: str, version: FileVersion) -> None:
    """Remove the file of this version, and no other one that has got its name meanwhile.

    A name cannot be compared and removed in one step. So the file gets a hidden name first, which no one else uses, and
    is removed there if it is the one; else it is put back. Raises `FileGone` if it is another file, or was written
    since it was copied, and `OSError`.
    """
    hidden = names.aside(name)
    try:
        os.rename(name, hidden, src_dir_fd=folder, dst_dir_fd=folder)
    except FileNotFoundError:
        raise FileGone from None
    if not FileVersion.of(look_at(folder, hidden)).has_content_of(version):
        put_back(folder, hidden, folder, name)
        raise FileGone
    os.unlink(hidden, dir_fd=folder)


def put_back(folder: int, hidden: str, target_folder: int, name: str) -> str:
    """Give a file the name again that it had, or another one if that is taken; return the name."""
    for target in (name, names.numbered(name)):
        try:
            os.link(hidden, target, src_dir_fd=folder, dst_dir_fd=target_folder, follow_symlinks=False)
        except FileExistsError:
            continue
        except OSError:  # a folder, or a file system without hard links
            if not _is_taken(target_folder, target):
                os.rename(hidden, target, src_dir_fd=folder, dst_dir_fd=target_folder)
                return target
        else:
            os.unlink(hidden, dir_fd=folder)
            return target
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def _is_taken(folder: int, name: str) -> bool:
    try:
        look_at(folder, name)
    except FileGone:
        return False
    return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
