"""The scanners of an inlet: one loop for each that is configured, stored or found, from the start to the stop."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from typing import Final

from postscan.core.filters.cancellation import CancelSource
from postscan.plugins import CancellationToken, Destination, Refused, SourceContext
from postscan.soap.wsscan.devices.admission import NO_DEVICES, is_admitted, is_limited, networks
from postscan.soap.wsscan.devices.device_loop import DeviceLoop
from postscan.soap.wsscan.devices.health import InletHealth
from postscan.soap.wsscan.devices.leftovers import Leftovers
from postscan.soap.wsscan.devices.parts import InletParts, same_address
from postscan.soap.wsscan.event_sink import EventSink
from postscan.soap.wsscan.finding.messages import Announcement
from postscan.soap.wsscan.finding.network import DiscoveryClient
from postscan.soap.wsscan.settings import WsScanSettings
from postscan.soap.wsscan.subscriptions.record import DeviceRecord
from postscan.soap.wsscan.subscriptions.store import RecordStore

STOP_SECONDS: Final = 8.0
"""Seconds for the loops to end: those for Unsubscribe, and for a scan that is being cancelled."""

SEARCH_SECONDS: Final = 30.0
MOST_UNKNOWN: Final = 8
"""Seconds for which an announced scanner is looked for, and most of those that were not found yet."""

_SLEEP: Final = 3600.0


class ScannerSet:
    """The running scanners of one inlet; *addresses* as in `DiscoveryClient`."""

    def __init__(self, inlet: SourceContext, addresses: Sequence[str] | None = None) -> None:
        self._inlet = inlet
        self._addresses = addresses
        self._settings: WsScanSettings = inlet.settings
        self._lock = threading.Lock()
        self._loops: dict[str, DeviceLoop] = {}
        self._over = False
        self._parts: InletParts | None = None
        self._network: DiscoveryClient | None = None

    def run(self, token: CancellationToken) -> None:
        """Serve until the token is set; then end all subscriptions, side by side."""
        inlet, settings = self._inlet, self._settings
        if not is_limited(inlet):
            raise ValueError(NO_DEVICES)
        health = InletHealth(inlet.health)
        health.begin(f"{settings.device or 'no scanner'} was not found yet")
        with contextlib.ExitStack() as stack:
            calls = stack.enter_context(CancelSource())
            sink = stack.enter_context(EventSink(answer=settings.event_answer, log=inlet.log))
            self._network = DiscoveryClient(
                self._on_found,
                port=settings.discovery_port,
                asks=settings.kind in ("any", "endpoint"),
                networks=networks(inlet),
                addresses=self._addresses,
                log=inlet.log,
            )
            store = RecordStore(inlet.folder)
            self._parts = InletParts(inlet, settings, sink, store, health, calls.token(), self._network.probe)
            self._begin(store)
            self._network.start()
            try:
                while not token.wait(_SLEEP):
                    pass
            finally:
                self._stop()
                calls.cancel("the source has stopped")

    def pull(self, destination: Destination) -> None:
        """Fetch a scan of the only scanner; raise `Busy` or `Refused`."""
        with self._lock:
            loops = list(self._loops.values())
        if len(loops) != 1:
            raise Refused(f"there are {len(loops)} scanners; a scan can be fetched with an inlet for each of them")
        loops[0].panel.pull(destination)

    def _begin(self, store: RecordStore) -> None:
        """Start the loops of the scanners that are configured, or stored; end what other settings have left."""
        records = store.load()
        used: list[DeviceRecord] = []
        if self._settings.kind == "any":
            used = [one for one in records if _is_live(one) and is_admitted(self._inlet, one.endpoint, one.host)]
            used = used[: self._settings.most_devices]
            for record in used:
                self._add(record.endpoint, record)
        else:
            used = [one for one in records if self._is_configured(one)][:1]
            endpoint = self._settings.device.lower() if self._settings.kind == "endpoint" else ""
            self._add(endpoint, used[0] if used else None)
        Leftovers(self._parts_now, [one for one in records if one not in used]).start()

    def _is_configured(self, record: DeviceRecord) -> bool:
        if self._settings.kind == "endpoint":
            return record.endpoint == self._settings.device.lower()
        return record.configured == self._settings.device

    def _stop(self) -> None:
        with self._lock:
            self._over = True
            loops = list(self._loops.values())
        for loop in loops:
            loop.stop()
        if self._network is not None:
            self._network.stop()
        until = time.monotonic() + STOP_SECONDS
        for loop in loops:
            loop.join(max(0.0, until - time.monotonic()))

    def _add(
        self,
        endpoint: str,
        record: DeviceRecord | None,
        announcement: Announcement | None = None,
        sender: str = "",
    ) -> None:
        """Start the loop of a device, with the announcement that it was found by."""
        loop = self._loops[endpoint] = DeviceLoop(self._parts_now, endpoint, record)
        if announcement is not None:
            loop.announce(announcement, sender)
        loop.start()

    def _on_found(self, announcement: Announcement, sender: str) -> None:
        """Take an announcement; called by the thread of discovery, one after another."""
        with self._lock:
            if self._over:
                return
            loop = self._loop_of(announcement, sender)
            if loop is None and self._is_new(announcement, sender):
                self._add(announcement.endpoint, None, announcement, sender)
        if loop is not None:
            loop.announce(announcement, sender)

    def _loop_of(self, announcement: Announcement, sender: str) -> DeviceLoop | None:
        if self._settings.kind in ("url", "host"):
            only = self._loops[""]
            is_it = only.endpoint == announcement.endpoint or (not only.host and not only.endpoint)
            return only if is_it or same_address(only.host or sender, sender) else None
        found = self._loops.get(announcement.endpoint)
        return found if found is not None and is_admitted(self._inlet, announcement.endpoint, sender) else None

    def _is_new(self, announcement: Announcement, sender: str) -> bool:
        """Return whether this is a scanner that is to be taken; ask its sender if the announcement is not complete."""
        if self._settings.kind != "any" or announcement.kind == "bye":
            return False
        if not is_admitted(self._inlet, announcement.endpoint, sender):
            return False
        if announcement.kind == "hello" and (not announcement.types or not announcement.xaddrs):
            if self._network is not None:
                self._network.probe(sender)
            return False
        return announcement.is_scanner and self._has_room()

    def _has_room(self) -> bool:
        """Return whether one more scanner may be looked for; end the search for those that do not answer.

        An announcement may be forged: what was not found has few places, and none that is found loses its own.
        """
        unknown = {endpoint: loop for endpoint, loop in self._loops.items() if not loop.is_found}
        for endpoint, loop in unknown.items():
            if time.monotonic() > loop.since + SEARCH_SECONDS:
                loop.stop()
                del self._loops[endpoint]
        unknown = {endpoint: loop for endpoint, loop in unknown.items() if endpoint in self._loops}
        return len(unknown) < MOST_UNKNOWN and len(self._loops) < self._settings.most_devices

    @property
    def _parts_now(self) -> InletParts:
        if self._parts is None:
            raise RuntimeError("the scanners are not running")
        return self._parts


def _is_live(record: DeviceRecord) -> bool:
    """Return whether the device may have a subscription; another one is found again if it is still there."""
    return any(one is not None and one.until > time.time() for one in (record.scans, record.jobs))
