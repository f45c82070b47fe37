"""A running WS-Scan source and the simulated scanner that it serves; the server's side is in memory.

with panel_inlets.running(tmp_path, scanner) as inlet:
    inlet.wait_ready()
    scanner.press("Invoices")
    inlet.server.wait_for_jobs(1)
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import source_server
from source_server import SourceServer
from works import until

from postscan.cli.device.wsscan.scanner import WsdScanner
from postscan.soap.wsscan import WsScanSource
from postscan.soap.wsscan.subscriptions.record import DeviceRecord
from postscan.soap.wsscan.subscriptions.store import RecordStore

SUBSCRIBE, RENEW, UNSUBSCRIBE = "Subscribe", "Renew", "Unsubscribe"


@dataclass
class PanelInlet:
    """A running inlet: the server's side, the source, and its folder."""

    server: SourceServer
    source: WsScanSource
    folder: Path

    @property
    def records(self) -> list[DeviceRecord]:
        """What is stored of devices."""
        return RecordStore(self.folder).load()

    def wait_ready(self, number: int = 1) -> None:
        """Wait until the inlet is ready, and has so many subscriptions for presses."""
        self.server.wait_for(lambda: self.server.health[-1:] and self.server.health[-1][0] == "ready")
        until(lambda: sum(bool(one.scans and one.scans.manager) for one in self.records) >= number)

    def wait_state(self, state: str, text: str = "") -> str:
        """Wait until the health has this state and this text in it; return the whole text."""
        self.server.wait_for(
            lambda: self.server.health and self.server.health[-1][0] == state and text in self.server.health[-1][1]
        )
        return self.server.health[-1][1]

    def logged(self, message: str) -> list[dict[str, str]]:
        """Return the fields of all log lines with this message."""
        return [line.fields for line in self.server.log if line.message == message]


@contextlib.contextmanager
def running(
    tmp_path: Path,
    device: WsdScanner | str,
    *,
    destinations: tuple[str, ...] = ("Invoices",),
    devices: tuple[str, ...] = (),
    stops: bool = True,
    **settings: Any,
) -> Iterator[PanelInlet]:
    """Run an inlet for a scanner, or with this setting `device`; without events of jobs unless they are asked for."""
    tmp_path.mkdir(exist_ok=True)
    url = device if isinstance(device, str) else device.url
    source = WsScanSource()
    table = {"device": url, "job_events": False, **settings}
    with source_server.running(
        source, tmp_path, table, destinations=destinations, devices=devices, stops=stops
    ) as server:
        yield PanelInlet(server, source, server.started.folder)


def counted(scanner: WsdScanner, operation: str) -> int:
    """Return how many requests for an operation a scanner has received."""
    return sum(one.what.rpartition("/")[2] == operation for one in scanner.requests)


def gaps(scanner: WsdScanner) -> list[float]:
    """Return the seconds between each two requests about finding and subscribing that follow one another."""
    of_scans = ("CreateScanJob", "RetrieveImage", "CancelJob", "GetScannerElements", "GetJobElements")
    times = [one.at for one in scanner.requests if one.what.rpartition("/")[2] not in of_scans]
    return [later - earlier for earlier, later in itertools.pairwise(times)]
