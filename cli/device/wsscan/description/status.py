"""The state of the simulated scanner: Idle, Processing or Stopped, with what is wrong with it.

Source: ws-scan.md section 8.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lxml import etree

from postscan.cli.device.wsscan.protocol.soap import SoapWriter

COMPONENTS: Final = {"MediaJam": "ADF", "CoverOpen": "ADF", "Calibrating": "Platen", "LampWarming": "Platen"}
"""The conditions that this scanner may have, and the part that has them; both first ones stop it."""

STOPPING: Final = ("MediaJam", "CoverOpen")


@dataclass(frozen=True)
class DeviceCondition:
    """Something that is wrong: its Id, its name, and since when (Unix time)."""

    id: int
    name: str
    since: float


class ScannerStatus:
    """The conditions of a scanner. *raised* and *cleared* are called with each that comes and goes."""

    def __init__(self, raised: Callable[[DeviceCondition], None], cleared: Callable[[DeviceCondition], None]) -> None:
        self._raised, self._cleared = raised, cleared
        self._lock = threading.Lock()
        self._conditions: list[DeviceCondition] = []
        self._next = 1

    @property
    def conditions(self) -> list[DeviceCondition]:
        """The conditions that hold, the oldest first."""
        with self._lock:
            return list(self._conditions)

    @property
    def is_stopped(self) -> bool:
        """True while paper is jammed or the cover is open."""
        return any(one.name in STOPPING for one in self.conditions)

    def set(self, name: str) -> bool:
        """Raise a condition; false if it holds already."""
        with self._lock:
            if any(one.name == name for one in self._conditions):
                return False
            condition = DeviceCondition(self._next, name, time.time())
            self._next += 1
            self._conditions.append(condition)
        self._raised(condition)
        return True

    def clear(self, name: str) -> bool:
        """Clear a condition; false if it does not hold."""
        with self._lock:
            found = [one for one in self._conditions if one.name == name]
            self._conditions = [one for one in self._conditions if one.name != name]
        for condition in found:
            self._cleared(condition)
        return bool(found)


def state_of(status: ScannerStatus, busy: bool) -> str:
    """Return the ScannerState."""
    return "Stopped" if status.is_stopped else "Processing" if busy else "Idle"


def reasons(w: SoapWriter, status: ScannerStatus) -> etree._Element:
    """Return ScannerStateReasons."""
    names = [one.name for one in status.conditions] or ["None"]
    return w.element("wscn:ScannerStateReasons", *(w.element("wscn:ScannerStateReason", name) for name in names))


def scanner_status(w: SoapWriter, status: ScannerStatus, busy: bool) -> etree._Element:
    """Return ScannerStatus."""
    e = w.element
    return e(
        "wscn:ScannerStatus",
        e("wscn:ScannerCurrentTime", written_time(time.time())),
        e("wscn:ScannerState", state_of(status, busy)),
        reasons(w, status),
        e("wscn:ActiveConditions", *(device_condition(w, one) for one in status.conditions)),
    )


def device_condition(w: SoapWriter, condition: DeviceCondition) -> etree._Element:
    """Return DeviceCondition; WS-Scan has no condition LampWarming, only LampWarning."""
    e = w.element
    return e(
        "wscn:DeviceCondition",
        e("wscn:Time", written_time(condition.since)),
        e("wscn:Name", "LampWarning" if condition.name == "LampWarming" else condition.name),
        e("wscn:Component", COMPONENTS[condition.name]),
        e("wscn:Severity", "Critical" if condition.name in STOPPING else "Informational"),
        Id=str(condition.id),
    )


def written_time(at: float) -> str:
    """Return a Unix time as xs:dateTime in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
