"""The bytes that the folder of a run takes on the disk, watched while the run works.

The limits of `postscan.core.workers.rlimits` count each file; this one counts the folder. A run over the limit is
cancelled, and so stopped in the usual steps. Half of `storage.reserve_bytes` is for the folders of runs, the other half
for the database: while less than that half is free, the run with the largest folder is cancelled, and no further run
begins. Where the runs have a disk of their own, they need 1 MiB of it. The folder counts in the share of its job's
owner as well (`postscan.core.spool.quota`).

Files outside the folder, and deleted ones that are still open, count as used space of the disk only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from postscan.core.settings import Settings

INTERVAL: Final = 0.5
"""Seconds between two checks."""

_SHARE: Final = 10  # a check of the folder waits for ten times as long as the last one took
_LEAST: Final = 1 << 20  # bytes of a folder whose end would give back room
_ENTRY: Final = 4096  # bytes that a file counts at least, so that empty files count as well
_BLOCK: Final = 512
_MOVED: Final = ".removed-"


class Cancellable(Protocol):
    """What is cancelled when its folder has to be given up."""

    def cancel(self, reason: str) -> bool:
        """Request its end; return whether this call did it."""


Charge = Callable[[int], str]
"""Counts the bytes of a folder for the owner of its job; returns why it has to be given up, "" if it has not."""


class WorkFolders:
    """The folders of all runs of an engine."""

    def __init__(self, settings: Settings) -> None:
        self.most = settings.running.folder_bytes
        self._run_dir = settings.storage.run_dir
        self._data_dir = settings.storage.data_dir
        self._kept_free = settings.storage.reserve_bytes // 2
        self._sizes: dict[Path, int] = {}
        self._short_at = 0.0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def watched(self, folder: Path, source: Cancellable, charge: Charge = lambda _size: "") -> Iterator[WorkFolder]:
        """Cancel *source* if the folder takes too much, or more than *charge* allows, while the body runs."""
        watched = WorkFolder(self, folder, source, charge)
        watched.start()
        try:
            yield watched
        finally:
            watched.stop()
            with self._lock:
                self._sizes.pop(folder, None)

    def record(self, folder: Path, size: int) -> None:
        """Remember the size of a folder, in bytes."""
        with self._lock:
            self._sizes[folder] = size

    def check_room(self) -> None:
        """Raise `OSError` (ENOSPC) if the disk is too short of space for a further run."""
        if self._is_short():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._run_dir))

    def was_short_since(self, moment: float) -> bool:
        """Return whether the disk is short of space, or was seen to be so after this moment (`time.monotonic()`)."""
        return self._is_short() or self._short_at > moment

    def is_largest_on_a_full_disk(self, folder: Path) -> bool:
        """Return whether the disk is short of space and no other run's folder is larger."""
        if not self._is_short():
            return False
        with self._lock:
            size = self._sizes.get(folder, 0)
            return size >= max([_LEAST, *self._sizes.values()])

    def _is_short(self) -> bool:
        """Return whether the disk has less room than other runs need, and the database if it is on the same disk."""
        try:
            shared = self._run_dir.stat().st_dev == self._data_dir.stat().st_dev
            disk = os.statvfs(self._run_dir)
        except OSError:
            return False
        if disk.f_bavail * disk.f_frsize >= (self._kept_free if shared else _LEAST):
            return False
        self._short_at = time.monotonic()
        return True


class LastingFolders(WorkFolders):
    """The folders of processes that live long: a full disk ends none of them.

    A source gets no leave to write then, and a plugin of hooks has nothing to write.
    """

    def is_largest_on_a_full_disk(self, folder: Path) -> bool:
        """Return False."""
        return False


class WorkFolder:
    """The folder of one run; `excess` says why the run was cancelled, and is empty if it was not.

    `lacked_room` says that the disk was short of space during the run, and not because of it.
    """

    def __init__(self, folders: WorkFolders, folder: Path, source: Cancellable, charge: Charge) -> None:
        self._folders = folders
        self._charge = charge
        self._folder = folder
        self._source = source
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="postscan-folder", daemon=True)
        self._begun = time.monotonic()
        self.excess = ""
        self.lacked_room = False

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; the source is not cancelled after that."""
        self._over.set()
        self._thread.join()
        self.lacked_room = not self.excess and self._folders.was_short_since(self._begun)

    def _watch(self) -> None:
        due = 0.0
        size = 0
        while not self._over.wait(INTERVAL):
            begun = time.monotonic()
            if begun >= due:
                size = used_bytes(self._folder, self._over)
                self._folders.record(self._folder, size)
                due = begun + _SHARE * (time.monotonic() - begun)
            if self._over.is_set():
                return
            if excess := self.judge(size):
                if self._source.cancel(excess):
                    self.excess = excess
                return

    def judge(self, size: int) -> str:
        """Return why a folder of this size has to be given up; empty if it has not."""
        if size > self._folders.most:
            return f"its folder took more than {self._folders.most} bytes"
        if self._folders.is_largest_on_a_full_disk(self._folder):
            return f"the disk is full, and its folder took the most: {size} bytes"
        return self._charge(size)


def used_bytes(folder: Path, over: threading.Event | None = None) -> int:
    """Return the bytes that a folder takes on the disk, a file with several names counted once.

    Follows no symbolic link. What cannot be read, and what is removed meanwhile, is not counted. Ends early if *over*
    is set.
    """
    total = 0
    linked: set[tuple[int, int]] = set()
    folders = [os.fspath(folder)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if over is not None and over.is_set():
                    return total
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif status.st_nlink > 1:
                        if (file := (status.st_dev, status.st_ino)) in linked:
                            continue
                        linked.add(file)
                    total += max(_ENTRY, status.st_blocks * _BLOCK)
    return total


def remove(folder: Path) -> None:
    """Remove the folder of a run that has ended, as far as that is possible.

    It may be deeper than a path is long, and than Python recurses: what a folder has is moved up before it is removed.
    """
    moved = 0
    while found := _entries(folder):
        removed = 0
        for entry in found:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    Path(entry.path).chmod(0o700)  # a filter may have closed it
                    for below in _entries(entry.path):
                        moved += 1
                        Path(below.path).rename(folder / f"{_MOVED}{moved}")
                    Path(entry.path).rmdir()
                else:
                    Path(entry.path).unlink()
                removed += 1
        if not removed:
            return
    with contextlib.suppress(OSError):
        folder.rmdir()


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return list(entries)
    return []
