"""The bytes that files may take below the workdir: of all senders together, of one sender, and of the disk."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path
from typing import Final

CHECKED: Final = 8 << 20
"""Bytes that are taken between two looks at the room on the disk."""

KEPT_FREE: Final = 128 << 20
"""Bytes of the disk that uploads leave to others, or a tenth of it if it is small."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UploadSpace:
    """The bytes of all files that come, are stored, or wait for a rename; one sender has half. For one thread."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self._most = most
        self._of_senders: Counter[str] = Counter()
        self._unchecked = 0

    @property
    def taken(self) -> int:
        """The bytes that are taken now."""
        return self._of_senders.total()

    def check(self) -> None:
        """Raise `OSError` if the disk has less room than uploads have to leave."""
        self._unchecked = 0
        disk = os.statvfs(self.folder)
        if disk.f_bavail * disk.f_frsize < min(KEPT_FREE, disk.f_blocks * disk.f_frsize // 10):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def take(self, sender: str, size: int) -> None:
        """Take *size* bytes; raise `OSError` if so many are not left."""
        if self.taken + size > self._most or self._of_senders[sender] + size > self._most // 2:
            raise OSError(errno.EDQUOT, "too many files at once")
        self._unchecked += size
        if self._unchecked > CHECKED:
            self.check()
        self._of_senders[sender] += size

    def give_back(self, sender: str, size: int) -> None:
        """Give back what was taken."""
        self._of_senders[sender] -= size
        if not self._of_senders[sender]:
            del self._of_senders[sender]


def is_full(error: OSError) -> bool:
    """Return whether the disk, a quota or the space of uploads is full."""
    return error.errno in _FULL
