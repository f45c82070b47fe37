"""The source for scanners that speak WS-Scan: destinations on their panels, and the pages of each press as a job.

The scanner hosts the service, and this source is its client: it finds the scanner, subscribes with the destinations of
the inlet, which the panel then shows, and fetches the pages when the button is pressed. Source: ws-scan.md.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from postscan.plugins import CancellationToken, Refused, Source, SourceContext, hookimpl
from postscan.soap.wsscan import diagnosis
from postscan.soap.wsscan.devices.scanners import ScannerSet
from postscan.soap.wsscan.settings import WsScanSettings


class WsScanSource(Source):
    """Offer destinations on the panels of scanners that speak WS-Scan, and make a job of each press.

    *addresses* are those of this machine at which scanners are looked for by multicast; None: all that do multicast.
    """

    title = "WSD scanner"
    proofs = ("device",)
    grace = 10.0
    Settings = WsScanSettings

    def __init__(self, addresses: Sequence[str] | None = None) -> None:
        self._addresses = addresses
        self._lock = threading.Lock()
        self._scanners: ScannerSet | None = None

    def diagnose(self, inlet: SourceContext) -> Iterable[str]:
        """Read the metadata and the status of the scanner; subscribe to nothing, and scan nothing."""
        return diagnosis.problems(inlet, self._addresses)

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Serve the panels until the token is set."""
        scanners = ScannerSet(inlet, self._addresses)
        with self._lock:
            self._scanners = scanners
        try:
            scanners.run(token)
        finally:
            with self._lock:
                self._scanners = None

    def pull(self, inlet: SourceContext, destination: str) -> None:
        """Fetch what lies in the scanner; some devices scan only when they are started at their panel."""
        with self._lock:
            scanners = self._scanners
        if scanners is None or not inlet.destinations:
            raise Refused("the inlet does not run" if scanners is None else "the inlet has no destination")
        scanners.pull(inlet.destination(destination) if destination else inlet.destinations[0])


@hookimpl
def postscan_sources() -> Iterable[Source]:
    """Return the source for WSD scanners."""
    return [WsScanSource()]
