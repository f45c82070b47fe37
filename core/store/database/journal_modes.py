"""The journal of an SQLite file: which one is suitable, and which one it has.

The write-ahead log needs memory that all processes with the database share, which a network file system does not have
(https://www.sqlite.org/wal.html). There, and on file systems that are not known here, the rollback journal is used.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import psutil

LOG: Final = "wal"
ROLLBACK: Final = "delete"

PAGES: Final = 4000
"""Pages in the log after which a commit copies it into the database; its index has a table for each 4,062 pages."""

MOST_BYTES: Final = 64 * 2**20
"""The log is truncated to this size when it begins anew after it was larger, because readers kept it from that."""

_LOCAL: Final = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"}
)


def suitable(file: str) -> str:
    """Return the journal mode of `PRAGMA journal_mode` for this file."""
    return LOG if file_system(Path(file)) in _LOCAL else ROLLBACK


def is_logged(file: str | None) -> bool:
    """Return whether the database has a write-ahead log; it does as long as a connection of that mode is open."""
    return file is not None and Path(f"{os.path.realpath(file)}-wal").exists()  # beside the target of a symbolic link


def file_system(path: Path) -> str:
    """Return the type of the file system that *path* is on; "" if that is not known."""
    mounts = {mount.mountpoint: mount.fstype for mount in psutil.disk_partitions(all=True)}
    real = Path(os.path.realpath(path))
    return next((mounts[str(folder)] for folder in real.parents if str(folder) in mounts), "")
