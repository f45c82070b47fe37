"""Where a device is: its stored address, the addresses of its announcements, and the setting `device`.

The known address comes first: an announcement, which may be forged, leads elsewhere only when nothing answers there.
Source: ws-scan.md section 3; WSS-002 to WSS-006; T-D2.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from postscan.soap.wsscan.client import Answer
from postscan.soap.wsscan.devices.paced_client import PacedClient
from postscan.soap.wsscan.devices.parts import InletParts, same_address
from postscan.soap.wsscan.faults import CallError, DeviceAway
from postscan.soap.wsscan.finding import locate
from postscan.soap.wsscan.finding.locate import FoundDevice
from postscan.soap.wsscan.finding.messages import Announcement
from postscan.soap.wsscan.subscriptions.record import DeviceRecord

MOST_CANDIDATES: Final = 4
CANDIDATE_SECONDS: Final = 120.0
"""Most senders of announcements that are remembered, and for how long: one of them may be forged."""


class DeviceSearch:
    """Finds one device; *endpoint* is "" for one that is configured by its address and was not found yet."""

    def __init__(self, parts: InletParts, client: PacedClient, endpoint: str) -> None:
        self.endpoint = endpoint
        self._parts = parts
        self._client = client
        self._lock = threading.Lock()
        self._candidates: OrderedDict[str, tuple[Announcement, float]] = OrderedDict()

    def add(self, announcement: Announcement, sender: str) -> None:
        """Remember that the device was announced by *sender*."""
        with self._lock:
            self._candidates[sender] = (announcement, time.monotonic())
            self._candidates.move_to_end(sender)
            while len(self._candidates) > MOST_CANDIDATES:
                self._candidates.popitem(last=False)

    def find(self, record: DeviceRecord | None) -> FoundDevice:
        """Return the device; raise the last `CallError` if it is nowhere."""
        error: CallError = DeviceAway("no announcement of the scanner has arrived yet")
        for host, url, announcement in self._places(record):
            self._client.host = host
            try:
                if announcement is not None:
                    return locate.at_addresses(self._call, announcement, host)
                if url:
                    before = record.endpoint if record is not None else ""
                    return locate.at_url(self._call, url, host, self.endpoint, before=before)
                return locate.by_directed_probe(self._call, host)
            except CallError as failed:
                error = failed
        raise error

    def _places(self, record: DeviceRecord | None) -> Iterator[tuple[str, str, Announcement | None]]:
        """Yield hosts, each with a URL, with an announcement, or with neither."""
        settings = self._parts.settings
        if settings.kind == "url":
            host = locate.resolve(settings.address)
            yield host, locate.at_host(settings.device, host), None
            return
        if settings.kind == "host":
            host = locate.resolve(settings.address)
            if record is not None and same_address(record.host, host):
                yield host, record.url, None
            yield from ((host, "", found) for found, sender in self._fresh() if same_address(sender, host))
            yield host, "", None
            return
        if record is not None:
            yield record.host, record.url, None
        yield from ((sender, "", found) for found, sender in self._fresh() if found.xaddrs)
        if record is not None:
            yield record.host, "", None

    def _fresh(self) -> list[tuple[Announcement, str]]:
        """Return the announcements that are not old, the newest first."""
        since = time.monotonic() - CANDIDATE_SECONDS
        with self._lock:
            return [(found, sender) for sender, (found, at) in reversed(self._candidates.items()) if at > since]

    def _call(self, url: str, action: str, body: str, to: str) -> Answer:
        return self._client.call(url, action, body, to=to)
