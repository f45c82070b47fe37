"""One inlet of the source: its device, how that is, and what is scanned by request or by itself."""

from __future__ import annotations

import threading
import time
from typing import Final

from postscan.plugins import CancellationToken, Destination, Refused, SourceContext
from postscan.plugins.sources.escl import left_over
from postscan.plugins.sources.escl.device import finding
from postscan.plugins.sources.escl.device.scanner import EsclScanner
from postscan.plugins.sources.escl.device.session import EsclSession
from postscan.plugins.sources.escl.errors import ScannerAway, ScannerError
from postscan.plugins.sources.escl.messages.status import LOADED, DeviceStatus
from postscan.plugins.sources.escl.open_scans import OpenScans
from postscan.plugins.sources.escl.scan import EsclPuller, PullOutcome
from postscan.plugins.sources.escl.settings import Settings

DRAIN_SECONDS: Final = 6.0
LEEWAY_SECONDS: Final = 2.0
"""How long open scans may go on after the stop, and how long their ends may take."""

_LONGEST_PAUSE: Final = 600.0  # seconds between two scans that fail while the same paper is in the feeder


class EsclInlet:
    """A device and its scans; `run` and `pull` in threads of their own."""

    def __init__(self, inlet: SourceContext) -> None:
        self.inlet = inlet
        self._settings: Settings = inlet.settings
        self._scans = OpenScans()
        self._lock = threading.Lock()  # of what follows
        self._scanner: EsclScanner | None = None
        self._is_tidy = False
        self._pause = 0.0  # seconds for which the feeder is left alone, since its last scan has failed
        self._feed_at = 0.0

    def run(self, token: CancellationToken) -> None:
        """Look at the device until the token is set; then let open scans end, and break off what is left."""
        every = self._settings.interval or self._settings.status_seconds
        try:
            with token.calling(self._close):  # also while this thread scans what is in the feeder
                while not token.wait(0.0):
                    self._look(token)
                    token.wait(every)
        finally:
            self._close()

    def _close(self) -> None:
        self._scans.close(DRAIN_SECONDS, LEEWAY_SECONDS)

    def pull(self, destination: str) -> None:
        """Fetch a scan that an administrator asks for; raise `ScannerError` if none began."""
        chosen = self._destination(destination)
        try:
            scanner = self._find()
        except ScannerError as error:
            self.inlet.health("away", str(error))
            raise
        outcome = self._puller(scanner).pull(chosen)
        self._report(outcome, chosen)
        if not outcome.job:
            raise ScannerAway(outcome.text)

    # --- how the device is ---------------------------------------------------------------------------------------

    def _look(self, token: CancellationToken) -> None:
        """Report how the device is, and scan what is in its feeder if that is wanted."""
        try:
            scanner = self._find()
            if self._scans.is_used(scanner.address.url):
                return
            self._tidy_up(scanner)
            with EsclSession(scanner) as session, token.calling(session.stop):
                session.capabilities()
                status = session.status()
        except ScannerError as error:
            self._lose()
            self.inlet.health("away" if isinstance(error, ScannerAway) else "degraded", str(error))
            return
        where = f"{scanner.model or 'a scanner'} at {scanner.address.url}"
        obstacle = status.obstacle or status.feeder_fault
        self.inlet.health("degraded" if obstacle else "ready", f"{where}: {obstacle}" if obstacle else where)
        if self._settings.interval:
            self._feed(scanner, status)

    def _tidy_up(self, scanner: EsclScanner) -> None:
        """Delete what is left at the device of scans whose end it has not been told."""
        if not self._is_tidy:
            with self._scans.device(scanner.address.url) as free:  # so that no record is one of a scan that runs
                if free:
                    self._is_tidy = True
                    left_over.tidy_up(self.inlet, scanner)

    def _find(self) -> EsclScanner:
        """Return the device, found by mDNS if it is not configured. Raises `ScannerError`."""
        with self._lock:
            if self._scanner is None:
                if self._settings.device:
                    self._scanner = self._settings.scanner(self.inlet, self._settings.address)
                else:
                    found = finding.find(self._settings.name, self._settings.interfaces)
                    self._scanner = self._settings.scanner(self.inlet, found.address, found.uuid)
            return self._scanner

    def _lose(self) -> None:
        """Read the capabilities again before the next scan, and look for the device again if mDNS has found it."""
        with self._lock:
            if self._scanner is not None:
                self._scanner.forget()
            if not self._settings.device:
                self._scanner = None

    # --- scans ---------------------------------------------------------------------------------------------------

    def _feed(self, scanner: EsclScanner, status: DeviceStatus) -> None:
        """Scan the paper in the feeder; after a failure the same paper is tried more and more seldom."""
        if status.feeder != LOADED:
            self._pause = 0.0
            return
        if status.state not in ("", "Idle") or time.monotonic() < self._feed_at or not self.inlet.destinations:
            return
        chosen = self.inlet.destinations[0]
        outcome = self._puller(scanner).pull(chosen)
        self._report(outcome, chosen)
        if outcome.state in ("stored", "taken"):
            self._pause = 0.0
        else:
            self._pause = min(max(2 * self._pause, self._settings.interval), _LONGEST_PAUSE)
            self._feed_at = time.monotonic() + self._pause

    def _puller(self, scanner: EsclScanner) -> EsclPuller:
        return EsclPuller(self.inlet, scanner, self._scans, self._settings.choice, self._settings.limits)

    def _destination(self, id: str) -> Destination:
        if id:
            return self.inlet.destination(id)
        if not self.inlet.destinations:
            raise Refused("the inlet has no destination")
        return self.inlet.destinations[0]

    def _report(self, outcome: PullOutcome, chosen: Destination) -> None:
        self._is_tidy = outcome.state == "stored" and self._is_tidy
        level = "info" if outcome.state == "stored" else "warning"
        text = {"stored": "scan fetched"}.get(outcome.state, "scan not fetched")
        self.inlet.log(
            text, level, destination=chosen.label, job=outcome.job, state=outcome.state, pages=outcome.pages,
            reason=outcome.text,
        )  # fmt: skip
