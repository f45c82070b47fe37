"""Jobs that were left at a device, mostly by a killed process: remembered in the folder of the inlet, and tidied up.

A device keeps a job open until its client has closed it, some of them for minutes. A job whose pages are stored is
deleted, which is its acknowledgement; another one is deleted only while the device still works on it. A record that is
older than `FRESH_SECONDS` is dropped: the path may be that of another job by then. Source: escl.md section 6 and
decision 85.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from pathlib import Path
from typing import Any, Final

from postscan.plugins import Busy, Refused, SourceContext
from postscan.plugins.sources.escl.device.quirks import DeviceQuirk
from postscan.plugins.sources.escl.device.scanner import EsclScanner
from postscan.plugins.sources.escl.device.session import EsclSession
from postscan.plugins.sources.escl.errors import ScannerError

FRESH_SECONDS: Final = 300.0

_MOST: Final = 16  # records that are looked at
_PATTERN: Final = "device-job-*.json"
_NOT_STORED: Final = ("Aborted", "Canceled", "Creating")


class LeftOverRecord:
    """One job of a device that is open, as a file, from `DeviceScan.begin` to its DELETE."""

    def __init__(self, folder: Path, job: str, scanner: EsclScanner, path: str) -> None:
        self._file = folder / f"device-job-{uuid.uuid4()}.json"
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({"job": job, "url": scanner.address.url, "path": path}))
        new.rename(self._file)

    def remove(self) -> None:
        """Forget it: the device has been told."""
        self._file.unlink(missing_ok=True)


def tidy_up(inlet: SourceContext, scanner: EsclScanner) -> None:
    """Delete what an earlier process of this inlet has left at this device. Raises `ScannerError` if it is away."""
    for file in sorted(inlet.folder.glob(_PATTERN))[:_MOST]:
        record = _read(file)
        if record is not None and record["url"] == scanner.address.url:
            _tidy_up_one(inlet, scanner, record["job"], record["path"])
        file.unlink(missing_ok=True)


def _tidy_up_one(inlet: SourceContext, scanner: EsclScanner, job: str, path: str) -> None:
    state = "Aborted"
    with contextlib.suppress(Refused, Busy):
        state = inlet.state(job).state
    is_stored = state not in _NOT_STORED
    with EsclSession(scanner) as session:
        session.capabilities()
        if is_stored:
            if DeviceQuirk.NO_DELETE in scanner.quirks:
                return
        else:
            found = session.status().job(path)
            if found is None or found.is_completed or found.is_cancelled or found.is_failed:
                return
        with contextlib.suppress(ScannerError):
            answered = session.delete_job(path)
            inlet.log("left over job of the device deleted", job=job, stored=is_stored, answered=answered)


def _read(file: Path) -> dict[str, Any] | None:
    """Return a record; None if it is old, or is none."""
    with contextlib.suppress(OSError, ValueError):
        if abs(time.time() - file.stat().st_mtime) > FRESH_SECONDS:
            return None
        found = json.loads(file.read_text())
        if isinstance(found, dict) and all(isinstance(found.get(one), str) for one in ("job", "url", "path")):
            return found
    return None
