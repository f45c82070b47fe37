"""Which images arrive at other servers: the End of their jobs waits for them, and their owners have less room.

A process alone has no others. A member of a cluster writes a row for each upload, and renews it while the upload goes
on. A row whose server is gone is valid for `arriving.SECONDS`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Collection, Iterator
from typing import Final, Protocol

from postscan.core.errors import SpoolFull, StoreBusy
from postscan.core.model.job import JobToken
from postscan.core.store.cluster import arriving, owner_lock
from postscan.core.store.cluster.arriving import Arrival
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

STEP: Final = 16 << 20
"""Bytes by which the room of an image grows that others see; the first `SMALL` bytes are free."""

SMALL: Final = 1 << 20

RENEW_SECONDS: Final = 2.0
"""Seconds between two times at which the rows of this server's uploads are renewed."""


class UploadRow(Protocol):
    """One upload of this server, as other servers see it."""

    def reserve(self, size: int, share: int) -> None:
        """Let others see that *size* bytes have come; raise `SpoolFull` if the owner's *share* has no room for them."""


class ArrivingImages(Protocol):
    """The uploads of all servers."""

    def upload(self, token: JobToken, owner: str) -> contextlib.AbstractContextManager[UploadRow]:
        """Let others see an upload of this server while the body runs. Raises `StoreBusy`."""

    def elsewhere(self, tokens: Collection[JobToken]) -> set[JobToken]:
        """Return those of these jobs whose images arrive at other servers. Raises `StoreBusy`."""

    def reserved_elsewhere(self, owner: str) -> int:
        """Return the bytes that images of this owner have reserved at other servers. Raises `StoreBusy`."""

    def stop(self) -> None:
        """Renew no rows any more."""


class _NoRow:
    def reserve(self, size: int, share: int) -> None:
        """Do nothing: the server's own quota counts it."""


class NoOtherServers:
    """A process alone."""

    def upload(self, token: JobToken, owner: str) -> contextlib.AbstractContextManager[UploadRow]:
        """Return a row that nobody else reads."""
        return contextlib.nullcontext(_NoRow())

    def elsewhere(self, tokens: Collection[JobToken]) -> set[JobToken]:
        """Return none."""
        return set()

    def reserved_elsewhere(self, owner: str) -> int:
        """Return 0."""
        return 0

    def stop(self) -> None:
        """Do nothing."""


class SharedArrivingImages:
    """The uploads of several servers, as rows of a PostgreSQL database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._member = str(uuid.uuid4())
        self._lock = threading.Lock()
        self._rows: dict[str, Arrival] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def upload(self, token: JobToken, owner: str) -> Iterator[UploadRow]:
        """Write a row, and remove it at the end; if it cannot be removed it is valid for some seconds more."""
        row = _SharedRow(self, Arrival(str(uuid.uuid4()), self._member, token, owner))
        self._write(row.arrival)
        self._start()
        try:
            yield row
        finally:
            with self._lock:
                self._rows.pop(row.arrival.id, None)
            with contextlib.suppress(StoreBusy), self._store.writing() as db:
                arriving.remove(db, row.arrival.id)

    def elsewhere(self, tokens: Collection[JobToken]) -> set[JobToken]:
        """Ask the database."""
        with self._store.reading() as db:
            return arriving.tokens(db, list(tokens), self._member)

    def reserved_elsewhere(self, owner: str) -> int:
        """Ask the database."""
        with self._store.reading() as db:
            return arriving.reserved(db, owner, self._member)

    def reserve(self, arrival: Arrival, share: int) -> None:
        """Write what an upload reserves, under the lock of the owner; raise `SpoolFull` if there is no room.

        Each server writes for all its uploads, so the sum of all rows and of what is stored is compared.
        """
        with self._store.writing() as db:
            owner_lock.take(db, arrival.owner)
            if arriving.room_used(db, arrival) > share:
                raise SpoolFull(f"the documents of {arrival.owner} would be more than {share} bytes")
            arriving.write(db, [arrival])
        with self._lock:
            self._rows[arrival.id] = arrival

    def renew(self) -> None:
        """Write the rows of this server's uploads again, and delete those of servers that are gone.

        Raises `StoreBusy`.
        """
        with self._lock:
            rows = list(self._rows.values())
        if rows:
            with self._store.writing() as db:
                arriving.write(db, rows)
                arriving.remove_old(db)

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _write(self, arrival: Arrival) -> None:
        with self._store.writing() as db:
            arriving.write(db, [arrival])
        with self._lock:
            self._rows[arrival.id] = arrival

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._loop, name="postscan-arriving", daemon=True)
                self._thread.start()

    def _loop(self) -> None:
        while not self._stopped.wait(RENEW_SECONDS):
            try:
                self.renew()
            except StoreBusy:
                pass  # the store has logged it
            except Exception:
                log.exception("uploads not renewed")


class _SharedRow:
    def __init__(self, images: SharedArrivingImages, arrival: Arrival) -> None:
        self._images = images
        self.arrival = arrival

    def reserve(self, size: int, share: int) -> None:
        """Reserve the next step when the bytes are beyond the last one."""
        if size <= max(self.arrival.reserved, SMALL):
            return
        grown = self.arrival._replace(reserved=-(-size // STEP) * STEP)
        self._images.reserve(grown, share)
        self.arrival = grown
