"""The records of devices as files of the inlet's folder, one for each; a record is replaced whole, or not at all.

Source: WSS-014 (a subscription is stored before it is relied on).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from postscan.soap.wsscan.subscriptions.record import DeviceRecord

LARGEST: Final = 1 << 20
"""Most bytes of a file that is read."""

MOST_RECORDS: Final = 256
_END: Final = ".device.json"


class RecordStore:
    """The records in *folder*, which only one process uses at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> list[DeviceRecord]:
        """Return all records; a file that is none is renamed to `*.broken`, so that it is not used again."""
        found = []
        for path in sorted(self._folder.glob(f"*{_END}"))[:MOST_RECORDS]:
            try:
                record = DeviceRecord.model_validate_json(_bounded(path))
            except (ValidationError, OSError):
                with contextlib.suppress(OSError):
                    path.rename(path.with_suffix(".broken"))
                continue
            found.append(record)
        return found

    def save(self, record: DeviceRecord) -> None:
        """Store a record; it is durable on return. Raises `OSError`, and then the record before is still there."""
        path = self._path(record.endpoint)
        new = path.with_suffix(".new")
        try:
            with new.open("wb") as file:
                file.write(record.model_dump_json().encode())
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        self._sync()

    def remove(self, endpoint: str) -> None:
        """Remove the record of a device; does nothing without one."""
        with contextlib.suppress(OSError):
            self._path(endpoint).unlink(missing_ok=True)
            self._sync()

    def _path(self, endpoint: str) -> Path:
        return self._folder / f"{hashlib.sha256(endpoint.encode()).hexdigest()[:32]}{_END}"

    def _sync(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise OSError(f"{path.name} is larger than {LARGEST} bytes")
    return data
