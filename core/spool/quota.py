"""Room for documents: each caller's share of the disk, and the reserve of the disk for the database.

A share counts the images and what filters made, as stored; the images and documents that are being written, so that
many at once cannot take more room than one could; the folders of filters that run; and the logs of jobs. Of other
servers it counts what is stored, and images that arrive, in steps of 16 MiB; not their folders and logs.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Final

from postscan.core.cluster.arriving_images import ArrivingImages, NoOtherServers, UploadRow
from postscan.core.errors import SpoolFull, StoreBusy
from postscan.core.settings import Settings
from postscan.core.spool.image_store.spool_store import SpoolStore
from postscan.core.store.store import Store

LEAST: Final = 1 << 20
"""Bytes of a folder that count: what a filter needs for itself is free, so that a full share can be processed."""


class Quota:
    """Checks whether there is room for more bytes. Safe to use from several threads."""

    def __init__(
        self, settings: Settings, store: Store, spool: SpoolStore, arriving: ArrivingImages | None = None
    ) -> None:
        self._arriving = arriving or NoOtherServers()
        self.share = settings.limits.caller_bytes
        self._reserve = settings.storage.reserve_bytes
        self._store = store
        self._spool = spool
        self._lock = threading.Lock()
        self._writing: Counter[str] = Counter()
        self._folders: list[FolderShare] = []

    def use(self, settings: Settings) -> None:
        """Work with these settings from now on."""
        self.share = settings.limits.caller_bytes

    def open(self, owner: str, row: UploadRow | None = None) -> Reservation:
        """Return the reservation for one document of this caller; raise `SpoolFull` if there is no room for any byte.

        With a *row*, other servers see what it reserves. Raises `StoreBusy`.
        """
        kept = self._store.spooled_bytes(owner) + self._arriving.reserved_elsewhere(owner)
        with self._lock:
            self._check(owner, kept, 1)
        return Reservation(self, owner, kept, row)

    @contextlib.contextmanager
    def folder(self, owner: str) -> Iterator[FolderShare]:
        """Count the folder of a filter that runs for this caller, while the body runs."""
        folder = FolderShare(self, owner)
        with self._lock:
            self._folders.append(folder)
        try:
            yield folder
        finally:
            with self._lock:
                self._folders.remove(folder)

    def add(self, owner: str, kept: int, size: int) -> None:
        """Count *size* bytes that are written beside *kept* stored ones; raise `SpoolFull` if there is no room."""
        with self._lock:
            self._check(owner, kept, size)
            self._writing[owner] += size

    def subtract(self, owner: str, size: int) -> None:
        """Count *size* bytes that were written no longer."""
        with self._lock:
            self._writing[owner] -= size
            if not self._writing[owner]:
                del self._writing[owner]

    def excess(self, folder: FolderShare) -> str:
        """Return why this folder has to be given up: it is the largest of a caller who is over the share; else ""."""
        try:
            kept = self._store.spooled_bytes(folder.owner)
        except StoreBusy:
            return ""  # the next check will tell
        with self._lock:
            sizes = [one.size for one in self._folders if one.owner == folder.owner]
            if folder.size < max(sizes) or self._used(folder.owner, kept) <= self.share:
                return ""
        return f"the documents of {folder.owner} and the folders of its filters took more than {self.share} bytes"

    def _used(self, owner: str, kept: int) -> int:
        folders = sum(one.size for one in self._folders if one.owner == owner)
        return kept + self._writing[owner] + folders + self._spool.logs.bytes_of(owner)

    def _check(self, owner: str, kept: int, size: int) -> None:
        if self._used(owner, kept) + size > self.share:
            raise SpoolFull(f"the documents of {owner} would be more than {self.share} bytes")
        if self._spool.free_bytes() - size < self._reserve:
            raise SpoolFull(f"the spool's disk has less than {self._reserve} bytes left")


class FolderShare:
    """What the folder of one run takes of the share of its job's owner: `size` bytes."""

    def __init__(self, quota: Quota, owner: str) -> None:
        self.owner = owner
        self.size = 0
        self._quota = quota

    def count(self, size: int) -> str:
        """Count *size* bytes from now on; return why the folder has to be given up, "" if it has not."""
        self.size = size if size >= LEAST else 0
        return self._quota.excess(self) if self.size else ""


class Reservation:
    """Room for one document, reserved as its bytes are written."""

    def __init__(self, quota: Quota, owner: str, kept: int, row: UploadRow | None = None) -> None:
        self._row = row
        self._quota = quota
        self._owner = owner
        self._kept = kept
        self._size = 0

    def reserve(self, size: int) -> None:
        """Reserve room for *size* more bytes; raise `SpoolFull` if there is none."""
        self._quota.add(self._owner, self._kept, size)
        self._size += size
        if self._row is not None:
            self._row.reserve(self._size, self._quota.share)

    def release(self) -> None:
        """Give up the room. Harmless when repeated."""
        size, self._size = self._size, 0
        self._quota.subtract(self._owner, size)
