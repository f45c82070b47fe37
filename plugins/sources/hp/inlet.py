"""One inlet: its device, the destinations at the panel, and a job for each press.

A device that is away, or does not answer as it should, is tried again after 1, 2, 4 ... 60 s, for as long as it takes.
Source: escl.md section 8; ESCL-051 to ESCL-053, ESCL-056, ESCL-057.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from typing import Final

from postscan.plugins import CancellationToken, SourceContext
from postscan.plugins.sources.escl import left_over
from postscan.plugins.sources.escl.device import finding
from postscan.plugins.sources.escl.device.scanner import EsclScanner
from postscan.plugins.sources.escl.device.session import EsclSession
from postscan.plugins.sources.escl.errors import ScannerAway, ScannerError
from postscan.plugins.sources.escl.http.client import EsclClient, HttpTimes
from postscan.plugins.sources.escl.open_scans import OpenScans
from postscan.plugins.sources.escl.scan import EsclPuller, PullOutcome
from postscan.plugins.sources.hp.client import LEEWAY_SECONDS, WalkupClient
from postscan.plugins.sources.hp.event_table import EventTable
from postscan.plugins.sources.hp.press import HpPanel, HpPress, PressScan
from postscan.plugins.sources.hp.registrations import Registrations, WantedDestination
from postscan.plugins.sources.hp.settings import HpSettings

DRAIN_SECONDS: Final = 5.0
LEEWAY: Final = 2.0
"""How long an open scan may go on after the stop, and how long its end may take."""

_FIRST_PAUSE: Final = 1.0
_LEAST_WAIT: Final = 1.0  # seconds between two requests for events, however soon a device answers
_REMOVE_TIMES: Final = HttpTimes(connect=1.0, answer=1.5, silence=1.5)
_REMOVE_SECONDS: Final = 3.0


class HpInlet:
    """A device and its presses, in one thread."""

    def __init__(self, inlet: SourceContext) -> None:
        self._inlet = inlet
        self._settings: HpSettings = inlet.settings
        self._scans = OpenScans()
        wanted = [WantedDestination.of(one, self._settings.host(one.label)) for one in inlet.destinations]
        self._registrations = Registrations(inlet.folder, wanted)
        self._scanner: EsclScanner | None = None
        self._is_tidy = False
        self._pause = _FIRST_PAUSE
        self._lock = threading.Lock()  # of what follows
        self._waiting: WalkupClient | None = None
        self._stopped = False

    def run(self, token: CancellationToken) -> None:
        """Serve the device until the token is set; then let an open scan end, and remove the registrations."""
        try:
            with token.calling(self._stop):
                while not token.wait(0.0):
                    try:
                        self._serve(token)
                    except ScannerError as error:
                        self._lose(error)
                    token.wait(self._pause)
                    self._pause = min(2 * self._pause, self._settings.away_seconds)
        finally:
            self._remove_registrations()

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._waiting is not None:
                self._waiting.abort()
        self._scans.close(DRAIN_SECONDS, LEEWAY)

    # --- the device ----------------------------------------------------------------------------------------------

    def _serve(self, token: CancellationToken) -> None:
        """Wait for presses until the device fails, or the token is set. Raises `ScannerError`."""
        scanner = self._find()
        with EsclSession(scanner) as session, token.calling(session.stop):
            session.capabilities()
        if not self._is_tidy:
            left_over.tidy_up(self._inlet, scanner)
            self._is_tidy = True
        with self._client(scanner) as client:
            kind = client.kind()
            limits = client.limits(kind)
            panel = HpPanel(client, EventTable(client), kind, limits)
            panel.table.begin()
            while not token.wait(0.0):
                self._registrations.check(client, kind, limits)
                self._report_health(scanner)
                self._pause = _FIRST_PAUSE
                began = time.monotonic()
                presses = self._presses(panel, self._settings.wait_seconds)
                for press in presses:
                    self._bring(PressScan(panel, self._puller(scanner), press, token), press)
                if presses:
                    panel.table.look()  # what has come from these presses meanwhile is none of its own
                elif time.monotonic() < began + _LEAST_WAIT:
                    token.wait(_LEAST_WAIT)

    def _find(self) -> EsclScanner:
        """Return the device, found by mDNS if it is not configured. Raises `ScannerError`."""
        if self._scanner is None:
            if self._settings.device:
                self._scanner = self._settings.scanner(self._inlet, self._settings.address)
            else:
                found = finding.find(self._settings.name, self._settings.interfaces)
                self._scanner = self._settings.scanner(self._inlet, found.address, found.uuid)
            self._origin = self._settings.origin(self._scanner.address)
        return self._scanner

    def _lose(self, error: ScannerError) -> None:
        """Report the error, and begin anew with the device, which may be at another address when mDNS has found it."""
        if self._scanner is not None:
            self._scanner.forget()
        if not self._settings.device:
            self._scanner = None
        self._inlet.health("away" if isinstance(error, ScannerAway) else "degraded", str(error))

    def _client(self, scanner: EsclScanner) -> WalkupClient:
        """Return the connection that waits for presses; the stop ends it."""
        silence = self._settings.wait_seconds + LEEWAY_SECONDS
        client = WalkupClient(self._http(scanner, replace(scanner.times, silence=silence)))
        with self._lock:
            self._waiting = client
            if self._stopped:
                client.abort()
        return client

    def _http(self, scanner: EsclScanner, times: HttpTimes) -> EsclClient:
        return EsclClient(self._origin, scanner.tls, times, authorization=scanner.authorization)

    def _report_health(self, scanner: EsclScanner) -> None:
        where = f"{scanner.model or 'a device'} at {scanner.address.url}"
        notes = "; ".join(self._registrations.notes)
        shown = f"{self._registrations.number} destinations at the panel"
        self._inlet.health("degraded" if notes else "ready", f"{where}: {notes or shown}")

    def _remove_registrations(self) -> None:
        """Remove what is at the panel, if the device answers soon (ESCL-051); the next start finds what is left."""
        if self._scanner is None or not self._registrations.number:
            return
        with contextlib.suppress(ScannerError), WalkupClient(self._http(self._scanner, _REMOVE_TIMES)) as client:
            late = threading.Timer(_REMOVE_SECONDS, client.abort)
            late.start()
            try:
                self._registrations.remove_all(client)
            finally:
                late.cancel()

    # --- presses -------------------------------------------------------------------------------------------------

    def _presses(self, panel: HpPanel, seconds: float) -> list[HpPress]:
        """Return the new presses of our destinations, at most one of each: a panel has one at a time."""
        found = {}
        for event in panel.table.wait(seconds):
            registered = self._registrations.destination(event.destination)
            if registered is not None:
                destination = self._inlet.destination(registered.id)  # with the ticket that is stored now
                found[destination.id] = HpPress(event, destination)
        return list(found.values())

    def _puller(self, scanner: EsclScanner) -> EsclPuller:
        return EsclPuller(self._inlet, scanner, self._scans, self._settings.choice, self._settings.limits)

    def _bring(self, scan: PressScan, press: HpPress) -> None:
        about = {"destination": press.destination.label, "press": press.event.stamp}
        try:
            outcome = scan.bring()
        except ScannerError as error:
            self._inlet.log("press not carried out", "warning", **about, reason=error)
            raise
        if outcome is not None:
            self._report(outcome, about)

    def _report(self, outcome: PullOutcome, about: dict[str, str]) -> None:
        is_stored = outcome.state == "stored"
        self._inlet.log(
            "scan fetched" if is_stored else "scan not fetched",
            "info" if is_stored else "warning",
            **about,
            job=outcome.job,
            state=outcome.state,
            pages=outcome.pages,
            reason=outcome.text,
        )
