"""One file on its way in: written below the workdir, counted and hashed, and removed unless it becomes a page."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHECKED: Final = 8 << 20
"""Bytes that are written between two looks at the room on the disk."""

KEPT_FREE: Final = 64 << 20
"""Bytes of the disk that uploads leave to others, on a disk that is larger than `SMALL` times this."""

SMALL: Final = 16


class UploadTooLarge(Exception):
    """More bytes came than a file may have."""


@dataclass(frozen=True)
class UploadedFile:
    """A file that came to its end; `at` is the time of the clock in seconds."""

    path: Path
    size: int
    sha256: str
    at: float

    def discard(self) -> None:
        """Remove it."""
        with contextlib.suppress(OSError):
            self.path.unlink()


class IncomingFile:
    """The file of one transfer, of at most *most_bytes*; exclusive, and readable for this user alone."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """Open the file; raise `OSError` if there is no room for it."""
        _check_room(folder)
        descriptor, name = tempfile.mkstemp(prefix="upload-", dir=folder)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._path = Path(name)
        self._folder = folder
        self._most_bytes = most_bytes
        self._sha256 = hashlib.sha256()
        self._unchecked = 0
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append *chunk*; raise `UploadTooLarge`, or `OSError` if the disk takes no more."""
        self.size += len(chunk)
        if self.size > self._most_bytes:
            raise UploadTooLarge
        self._unchecked += len(chunk)
        if self._unchecked > CHECKED:
            self._unchecked = 0
            _check_room(self._folder)
        self._sha256.update(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]

    def finish(self) -> UploadedFile:
        """Close the file and return it; raise `OSError` if that fails."""
        try:
            self._file.close()
        except OSError:
            self.close()
            raise
        return UploadedFile(self._path, self.size, self._sha256.hexdigest(), time.time())

    def close(self) -> None:
        """Remove the file: its transfer ended before the file did."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink()


def is_full(error: OSError) -> bool:
    """Return whether the disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _check_room(folder: Path) -> None:
    """Raise `OSError` if the disk has less room than uploads have to leave."""
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < min(KEPT_FREE, disk.f_blocks * disk.f_frsize // SMALL):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
