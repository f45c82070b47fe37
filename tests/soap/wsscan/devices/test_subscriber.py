"""One subscription: when its path takes events, and what becomes of it if it cannot be stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from postscan.soap.wsscan.devices.device_state import DeviceState
from postscan.soap.wsscan.devices.subscriber import Subscriber
from postscan.soap.wsscan.event_sink import SinkUnavailable
from postscan.soap.wsscan.subscriptions.messages import PRESSES
from postscan.soap.wsscan.subscriptions.record import DeviceRecord, new_subscription
from postscan.soap.wsscan.subscriptions.store import RecordStore

ORIGIN = "http://127.0.0.1:5367"
OFFERED = (("d1", "Invoices"),)


class Parts:
    """What an inlet shares, of which only the order of calls counts."""

    def __init__(self, origin: str | None = ORIGIN) -> None:
        self.calls: list[str] = []
        self.sink = self
        self._origin = origin

    def event_origin(self, _host: str, _port: int = 0) -> str:
        """Listen."""
        self.calls.append("listen")
        if self._origin is None:
            raise SinkUnavailable("taken")
        return self._origin

    def add(self, path: str, _receiver: object) -> None:
        """Take events for a path."""
        self.calls.append(f"add {path}")

    def remove(self, path: str) -> None:
        """Take no more."""
        self.calls.append(f"remove {path}")


def subscriber(parts: Any, tmp_path: Path, offered: tuple[tuple[str, str], ...] = OFFERED) -> tuple[Subscriber, str]:
    """Return one with a stored subscription, and its path."""
    stored = new_subscription(ORIGIN, offered).model_copy(update={"manager": "http://127.0.0.1:9/m"})
    record = DeviceRecord(endpoint="urn:uuid:1", url="", host="127.0.0.1", service="", scans=stored)
    none: Any = None
    return Subscriber(parts, DeviceState(RecordStore(tmp_path), record), "scans", PRESSES, none, none), stored.path


@pytest.mark.conformance("WSS-019")
def test_a_stored_path_takes_events_before_anything_listens(tmp_path: Path) -> None:
    """A press just behind a restart would be answered 404 otherwise."""
    parts = Parts()
    found, path = subscriber(parts, tmp_path)

    assert found.fits("127.0.0.1", OFFERED)
    assert parts.calls == [f"add {path}", "listen"]


@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:1", "http://127.0.0.2:5367"])
def test_a_path_whose_address_is_gone_takes_none(tmp_path: Path, origin: str | None) -> None:
    """Its events arrive elsewhere, if at all."""
    parts = Parts(origin)
    found, path = subscriber(parts, tmp_path)

    assert not found.fits("127.0.0.1", OFFERED)
    assert parts.calls == [f"add {path}", "listen", f"remove {path}"]


@pytest.mark.conformance("WSS-016")
def test_other_destinations_or_labels_do_not_fit(tmp_path: Path) -> None:
    """Nor the same ones in another order."""
    parts = Parts()
    found, _path = subscriber(parts, tmp_path, (("d1", "Invoices"), ("d2", "Letters")))

    assert not found.fits("127.0.0.1", OFFERED)
    assert not found.fits("127.0.0.1", (("d2", "Letters"), ("d1", "Invoices")))
    assert not found.fits("127.0.0.1", (("d1", "Invoices"), ("d2", "Mail")))
    assert parts.calls == []
