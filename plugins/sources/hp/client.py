"""Requests to the walk-up resources of a device. Source: escl.md section 8; ESCL-050, ESCL-057."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Final, NamedTuple, Self

from postscan.plugins.sources.escl.errors import DeviceBusy, DeviceRefused, ScannerAway
from postscan.plugins.sources.escl.http.client import DeviceAnswer, EsclClient
from postscan.plugins.sources.escl.messages import xml
from postscan.plugins.sources.hp import documents
from postscan.plugins.sources.hp.documents import (
    PanelChoice,
    RegisteredDestination,
    ScanEvent,
    WalkupKind,
    WalkupLimits,
)

LEEWAY_SECONDS: Final = 10.0
"""For how long a device may answer later than it was asked to."""

_TREE: Final = "/DevMgmt/DiscoveryTree.xml"
_CAPS: Final = "/WalkupScanToComp/WalkupScanToCompCaps"
_EVENTS: Final = "/EventMgmt/EventTable"
_PRESS_STATE: Final = "/WalkupScanToComp/WalkupScanToCompEvent"
_ETAG: Final = re.compile(r"[!-~]{1,256}")


class EventAnswer(NamedTuple):
    """The ETag of the event table, and its presses; None if it has not changed."""

    etag: str
    events: tuple[ScanEvent, ...] | None


class WalkupClient:
    """Requests, one after another, for one thread; `abort` may be called from any. All raise `ScannerError`s.

    The silence that *client* allows is longer than the waits that are asked for.
    """

    def __init__(self, client: EsclClient) -> None:
        self._client = client
        self.abort = client.abort

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.__exit__(kind, error, trace)

    def kind(self) -> WalkupKind:
        """Return the interface of the device (ESCL-050); raise `DeviceRefused` if it has none."""
        answer = self._client.request("GET", _TREE)
        if answer.status == 200:
            found = _kind_in(answer.body)
            if found is not None:
                return found
        if self._client.request("GET", _CAPS).status == 200:
            return WalkupKind.TO_COMP
        if self._client.request("GET", WalkupKind.OLDER.destinations).status == 200:
            return WalkupKind.OLDER
        raise DeviceRefused("the device has no walk-up scanning (Scan to Computer)")

    def limits(self, kind: WalkupKind) -> WalkupLimits:
        """Return how many destinations the device takes, and how it scans several sheets."""
        path = _CAPS if kind is WalkupKind.TO_COMP else kind.destinations
        return documents.limits(self._document(path), kind)

    def destinations(self, kind: WalkupKind) -> tuple[RegisteredDestination, ...]:
        """Return the destinations at the panel, of all computers."""
        return documents.destinations(self._document(kind.destinations), kind)

    def register(self, kind: WalkupKind, name: str, host: str) -> str:
        """Register a destination and return its path; "" if the device does not say it."""
        answer = self._client.request(
            "POST", kind.destinations, documents.new_destination(kind, name, host), needs_body=False
        )
        if answer.status != 201:
            raise DeviceRefused(f"the device does not take the destination {name!r}: it answered {answer.status}")
        return documents.path_of(answer.headers.get("location", "").strip())

    def remove(self, path: str) -> bool:
        """Remove a destination of this computer; return False if the device refuses."""
        status = self._client.request("DELETE", path, needs_body=False).status
        return 200 <= status < 300 or status in (404, 410)

    def choice(self, kind: WalkupKind, path: str) -> PanelChoice:
        """Return what the person has chosen beside the destination."""
        return documents.choice(self._document(path), kind)

    def press_state(self, path: str = "") -> str:
        """Return what the person has done last at the panel, with WalkupScanToComp."""
        return documents.press_state(self._document(path or _PRESS_STATE))

    def events(self, etag: str = "", seconds: float = 0.0) -> EventAnswer:
        """Return the event table as it is; with *etag*, wait at most *seconds* until it is another one."""
        path = f"{_EVENTS}?timeout={round(10 * seconds)}" if seconds else _EVENTS
        headers = {"If-None-Match": etag} if etag else {}
        answer = self._client.request("GET", path, seconds=seconds + LEEWAY_SECONDS, headers=headers)
        if answer.status == 304 and etag:
            return EventAnswer(etag, None)
        found = answer.headers.get("etag", "").strip()
        events = documents.scan_events(_body(answer, _EVENTS))
        if not _ETAG.fullmatch(found):
            raise DeviceRefused("the event table of the device has no ETag")
        return EventAnswer(found, events)

    def _document(self, path: str) -> bytes:
        return _body(self._client.request("GET", path), path)


def _kind_in(tree: bytes) -> WalkupKind | None:
    """Return the interface in a DiscoveryTree; None if it names none, or is none."""
    try:
        return documents.kind_in_tree(tree)
    except DeviceRefused:
        return None


def _body(answer: DeviceAnswer, path: str) -> bytes:
    if answer.status == 200:
        return answer.body
    if answer.status == 503:
        raise DeviceBusy(f"the device is busy: it answered {path} with 503")
    if answer.status >= 500:
        raise ScannerAway(f"the device answered {path} with {answer.status}")
    raise DeviceRefused(f"the device answered {path} with {answer.status}: {xml.quoted(answer.body)}")
