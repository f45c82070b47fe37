"""Room for images: each caller's share of the spool, and what the disk must keep free for the database.

Bytes count from their arrival until they are removed. What is on its way counts as well, so that many uploads at
once cannot take more than one could.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from postscan.core.errors import SpoolFull
from postscan.core.settings import Settings
from postscan.core.spool.images import Spool, Take
from postscan.core.store.store import Store


class Quota:
    """Says whether there is room for more bytes. Safe to use from several threads."""

    def __init__(self, settings: Settings, store: Store, spool: Spool) -> None:
        self._share = settings.limits.caller_bytes
        self._reserve = settings.storage.reserve_bytes
        self._store = store
        self._spool = spool
        self._lock = threading.Lock()
        self._arriving: Counter[str] = Counter()

    @contextlib.contextmanager
    def image(self, owner: str) -> Iterator[Take]:
        """Lend a function that takes room for one image, or raises `SpoolFull`; the room is given back at the end."""
        kept = self._store.spooled_bytes(owner)
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            with self._lock:
                self._check(owner, kept + self._arriving[owner] + size, size)
                self._arriving[owner] += size
            taken += size

        with self._lock:
            self._check(owner, kept + self._arriving[owner] + 1, 1)
        try:
            yield take
        finally:
            with self._lock:
                self._arriving[owner] -= taken
                if not self._arriving[owner]:
                    del self._arriving[owner]

    def check_kept(self, owner: str, size: int) -> None:
        """Raise `SpoolFull` if the caller's share has no room for a document that is about to be recorded."""
        if self._store.spooled_bytes(owner) + size > self._share:
            raise SpoolFull(f"the images of {owner} would be more than {self._share} bytes")

    def _check(self, owner: str, total: int, size: int) -> None:
        if total > self._share:
            raise SpoolFull(f"the images of {owner} would be more than {self._share} bytes")
        if self._spool.free_bytes() - size < self._reserve:
            raise SpoolFull(f"the spool's disk has less than {self._reserve} bytes left")
