"""Room for images: each caller's share of the spool, and the reserve of the disk for the database.

Bytes count from their upload until they are removed. Uploads in progress count as well, so that many at once cannot
take more room than one could.
"""

from __future__ import annotations

import threading
from collections import Counter

from postscan.core.errors import SpoolFull
from postscan.core.settings import Settings
from postscan.core.spool.images import Spool
from postscan.core.store.store import Store


class Quota:
    """Checks whether there is room for more bytes. Safe to use from several threads."""

    def __init__(self, settings: Settings, store: Store, spool: Spool) -> None:
        self.share = settings.limits.caller_bytes
        self._reserve = settings.storage.reserve_bytes
        self._store = store
        self._spool = spool
        self._lock = threading.Lock()
        self._uploading: Counter[str] = Counter()

    def open(self, owner: str) -> Reservation:
        """Return the reservation for one image of this caller; raise `SpoolFull` if there is no room for any byte."""
        kept = self._store.spooled_bytes(owner)
        with self._lock:
            self._check(owner, kept + self._uploading[owner] + 1, 1)
        return Reservation(self, owner, kept)

    def add(self, owner: str, kept: int, size: int) -> None:
        """Count *size* bytes of an upload beside *kept* stored ones; raise `SpoolFull` if there is no room."""
        with self._lock:
            self._check(owner, kept + self._uploading[owner] + size, size)
            self._uploading[owner] += size

    def subtract(self, owner: str, size: int) -> None:
        """Count *size* bytes of an upload no longer."""
        with self._lock:
            self._uploading[owner] -= size
            if not self._uploading[owner]:
                del self._uploading[owner]

    def _check(self, owner: str, total: int, size: int) -> None:
        if total > self.share:
            raise SpoolFull(f"the images of {owner} would be more than {self.share} bytes")
        if self._spool.free_bytes() - size < self._reserve:
            raise SpoolFull(f"the spool's disk has less than {self._reserve} bytes left")


class Reservation:
    """Room for one image, reserved as its bytes are written."""

    def __init__(self, quota: Quota, owner: str, kept: int) -> None:
        self._quota = quota
        self._owner = owner
        self._kept = kept
        self._size = 0

    def reserve(self, size: int) -> None:
        """Reserve room for *size* more bytes; raise `SpoolFull` if there is none."""
        self._quota.add(self._owner, self._kept, size)
        self._size += size

    def release(self) -> None:
        """Give up the room. Harmless when repeated."""
        size, self._size = self._size, 0
        self._quota.subtract(self._owner, size)
