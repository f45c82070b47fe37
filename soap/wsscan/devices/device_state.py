"""The record of one device while it is in use: threads change it, and a change is stored before it counts."""

from __future__ import annotations

import threading
from collections.abc import Callable

from postscan.soap.wsscan.subscriptions.record import DeviceRecord, StoredPress, StoredSubscription
from postscan.soap.wsscan.subscriptions.store import RecordStore


class DeviceState:
    """The record of a device, None until it was found for the first time."""

    def __init__(self, store: RecordStore, record: DeviceRecord | None) -> None:
        self._store = store
        self._lock = threading.Condition(threading.RLock())
        self._record = record

    @property
    def record(self) -> DeviceRecord | None:
        """The record as it is stored."""
        return self._record

    def adopt(self, record: DeviceRecord) -> DeviceRecord:
        """Store the record of a device that was found; raise `OSError` if that fails.

        Of a known endpoint, subscriptions and presses stay.
        """
        with self._lock:
            old = self._record
            if old is not None and old.endpoint == record.endpoint:
                kept = {"scans": old.scans, "jobs": old.jobs, "presses": old.presses, "instance": old.instance}
                record = record.model_copy(update=kept)
            if record != old:
                self._store.save(record)
                self._record = record
            return record

    def change(self, change: Callable[[DeviceRecord], DeviceRecord]) -> DeviceRecord:
        """Change the record and store it; raise `OSError` if that fails, and then nothing is changed."""
        with self._lock:
            if self._record is None:
                raise OSError("the device was not found yet")
            record = change(self._record)
            if record != self._record:
                self._store.save(record)
                self._record = record
                self._lock.notify_all()
            return record

    def wait_for(self, true: Callable[[DeviceRecord], bool], seconds: float) -> DeviceRecord | None:
        """Wait until *true* holds for the record, at most so many seconds; return the record as it is then."""
        with self._lock:
            self._lock.wait_for(lambda: self._record is not None and true(self._record), seconds)
            return self._record

    def set_subscription(self, kind: str, subscription: StoredSubscription | None) -> DeviceRecord:
        """Store the subscription of a kind, `scans` or `jobs`; raise `OSError`."""
        return self.change(lambda record: record.model_copy(update={kind: subscription}))

    def begin_press(self, press: StoredPress) -> bool:
        """Store a new press; return False if it was there before. Raises `OSError`."""
        with self._lock:
            if self._record is not None and self._record.has_press(press):
                return False
            self.change(lambda record: record.with_press(press))
            return True

    def subscription(self, path: str) -> StoredSubscription | None:
        """Return the subscription whose events come to *path*; None if there is none."""
        record = self._record
        found = (record.scans, record.jobs) if record is not None else ()
        return next((one for one in found if one is not None and one.path == path), None)
