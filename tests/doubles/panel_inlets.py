"""A running WS-Scan source and the simulated scanner that it serves; the server's side is in memory.

with panel_inlets.running(tmp_path, scanner) as inlet:
    inlet.wait_ready()
    scanner.press("Invoices")
    inlet.server.wait_for_jobs(1)
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import source_server
from source_server import SourceServer
from works import until

from postscan.cli.device.wsscan.scanner import WsdScanner
from postscan.core.filters.source.messages import Destination
from postscan.plugins.testing.sources.process import SourceProcess
from postscan.plugins.testing.sources.server import JobTable
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
    addresses: tuple[str, ...] | None = None,
    **settings: Any,
) -> Iterator[PanelInlet]:
    """Run an inlet for a scanner, or with this setting `device`; without events of jobs unless they are asked for."""
    tmp_path.mkdir(exist_ok=True)
    url = device if isinstance(device, str) else device.url
    source = WsScanSource(addresses)
    table = {"device": url, "job_events": False, **settings}
    with source_server.running(
        source, tmp_path, table, destinations=destinations, devices=devices, stops=stops
    ) as server:
        yield PanelInlet(server, source, server.started.folder)


def killed(
    tmp_path: Path,
    scanner: WsdScanner,
    label: str = "Invoices",
    meanwhile: Callable[[SourceServer], None] | None = None,
) -> None:
    """Run an inlet in a process of its own until it has subscribed, do something, and kill it.

    `running` with the same *tmp_path* takes up its folder.
    """
    home = tmp_path / "killed"
    home.mkdir()
    (tmp_path / "inlet-folder").mkdir(exist_ok=True)
    (home / "folder").symlink_to(tmp_path / "inlet-folder")
    about = {"destinations": (Destination(id="d1", label=label),)}
    settings = {"device": scanner.url, "job_events": False}
    with SourceProcess(WsScanSource(), JobTable(), home, settings, about) as process:
        process.server.wait_for(lambda: process.server.health[-1:] and process.server.health[-1][0] == "ready")
        if meanwhile is not None:
            meanwhile(process.server)
    assert len(scanner.subscriptions) == 1


def counted(scanner: WsdScanner, operation: str) -> int:
    """Return how many requests for an operation a scanner has received."""
    return sum(one.what.rpartition("/")[2] == operation for one in scanner.requests)


def gaps(scanner: WsdScanner) -> list[float]:
    """Return the seconds between each two requests about finding and subscribing that follow one another."""
    of_scans = ("CreateScanJob", "RetrieveImage", "CancelJob", "GetScannerElements", "GetJobElements")
    times = [one.at for one in scanner.requests if one.what.rpartition("/")[2] not in of_scans]
    return [later - earlier for earlier, later in itertools.pairwise(times)]
