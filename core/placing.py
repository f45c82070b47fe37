"""Putting one file into a folder so that its name never shows less than the whole file.

Write beside, make durable, ask the server, link. A hard link is exclusive: if somebody else has the name, the next
one is tried, and nothing is ever overwritten. Where a file system has no hard links, renameat2 with RENAME_NOREPLACE
does the same.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import itertools
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from postscan.core import naming

if TYPE_CHECKING:
    from postscan.core.filters import Document, FilterContext

CHUNK = 1 << 20  # bytes copied between two looks at the token
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def place(context: FilterContext, document: Document, folder: Path, source: Path, name: str, destination: str) -> Path:
    """Put a copy of *source* into *folder* as *name* or the next free one, and return where it is."""
    beside = folder / f".{secrets.token_hex(8)}.part"
    try:
        digest = _copy(context, source, beside)
        earlier = context.earlier.get((document.id, destination))
        if earlier and _digest(folder / earlier) == digest:
            return folder / earlier
        for number in itertools.count(1):
            target = folder / naming.numbered(name, number)
            if target.exists():
                continue
            try:
                with context.publish(document, destination, target.name):
                    _appear(beside, target)
            except FileExistsError:
                continue
            _sync_names(folder)
            return target
        raise AssertionError("itertools.count ended")  # pragma: no cover
    finally:
        beside.unlink(missing_ok=True)


def _copy(context: FilterContext, source: Path, target: Path) -> str:
    """Copy durably, looking at the token for each MiB; return the SHA-256 in hex."""
    digest = hashlib.sha256()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with source.open("rb") as reader, os.fdopen(os.open(target, flags, 0o640), "wb") as writer:
        while chunk := reader.read(CHUNK):
            context.token.check()
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _appear(beside: Path, target: Path) -> None:
    """Make the file visible under its name, or raise `FileExistsError`."""
    try:
        os.link(beside, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _rename_exclusively(beside, target)


def _sync_names(folder: Path) -> None:
    """Make the names in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename_exclusively(source: Path, target: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE)
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))
