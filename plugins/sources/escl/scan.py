"""Pull one scan: a job of the server is opened, the device is asked, its pages are brought, and both jobs end.

Nothing that a device does raises here: the outcome says it. Source: escl.md section 6; ESCL-020, ESCL-031, ESCL-034,
ESCL-040 to ESCL-043; decision 85.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from postscan.plugins import Busy, Cancelled, Destination, Ended, Refused, SourceContext, SourceJob, Taken
from postscan.plugins.sources.escl import ticket
from postscan.plugins.sources.escl.device.scanner import EsclScanner
from postscan.plugins.sources.escl.device.session import EsclSession
from postscan.plugins.sources.escl.errors import CancelledAtDevice, DeviceRefused, FeederFault, ScannerError
from postscan.plugins.sources.escl.left_over import LeftOverRecord
from postscan.plugins.sources.escl.messages.scan_settings import EsclScanSettings
from postscan.plugins.sources.escl.open_scans import OpenScans
from postscan.plugins.sources.escl.pages import DeleteOutcome, DeviceScan, PageLimits
from postscan.plugins.sources.escl.ticket import ScanChoice, ScanPlan

PullState = Literal["stored", "taken", "busy", "refused", "canceled", "aborted"]

_DEVICE_SECONDS = 5.0  # after which a device that another scan uses may be asked again


@dataclass(frozen=True)
class PullOutcome:
    """What became of a pull: a sentence for people, the JobToken if a job was opened, and its pages.

    `seconds` is when to try again, for `busy`.
    """

    state: PullState
    text: str = ""
    job: str = ""
    pages: int = 0
    seconds: float = 0.0


@dataclass
class EsclPuller:
    """Pulls scans of one device into jobs of one inlet; `scans` are those that its process has open."""

    inlet: SourceContext
    scanner: EsclScanner
    scans: OpenScans
    choice: ScanChoice = field(default_factory=ScanChoice)
    limits: PageLimits = field(default_factory=PageLimits)

    def pull(
        self,
        destination: Destination,
        *,
        key: str = "",
        subject: str = "",
        choice: ScanChoice | None = None,
        another: Callable[[SourceJob], bool] = lambda _job: False,
    ) -> PullOutcome:
        """Bring one scan as a job, and return what became of it. The proof is `device`.

        *key* names the origin where the device has a name for it, such as a press; "" for a request that comes once.
        *subject* is who is proven, the device itself if it is "". *another* is called behind each scan of the platen:
        while it returns true, one more scan is brought into the same job; it has to return when the job is cancelled.
        """
        with self.scans.device(self.scanner.address.url) as free:
            if not free:
                text = f"another scan of {self.scanner.address.url} is running, or the source is being stopped"
                return PullOutcome("busy", text, seconds=_DEVICE_SECONDS)
            try:
                with EsclSession(self.scanner) as session:
                    session.capabilities()
            except ScannerError as error:
                self.scanner.forget()
                return PullOutcome("refused", str(error))
            return _OnePull(self, destination, choice or self.choice, another).run(key, subject)


class _OnePull:
    def __init__(
        self,
        puller: EsclPuller,
        destination: Destination,
        choice: ScanChoice,
        another: Callable[[SourceJob], bool],
    ) -> None:
        self._inlet, self._scanner, self._scans = puller.inlet, puller.scanner, puller.scans
        self._limits, self._choice = puller.limits, choice
        self._destination, self._another = destination, another
        self._job = ""
        self._source_job: SourceJob | None = None
        self._pages = 0
        self._scan: DeviceScan | None = None  # the one whose device has not been told of its end
        self._record: LeftOverRecord | None = None

    def run(self, key: str, subject: str) -> PullOutcome:
        """Open the job of the server, bring the pages, and tell the device."""
        outcome = self._bring(key or f"{self._scanner.id}/{uuid.uuid4()}", subject or self._scanner.subject)
        scan, self._scan = self._scan, None
        if scan is not None and scan.path:
            if outcome.state == "stored":
                scan.finish()
                self._forget()
            elif outcome.state == "canceled" or not scan.is_over:
                scan.stop(self._told)
            # Else the record stays: whether the job was stored is not known, and a DELETE would say that it was.
        return outcome

    def _bring(self, key: str, subject: str) -> PullOutcome:
        name = self._scanner.model or self._scanner.address.host
        try:
            # Before the device is asked (ESCL-020): without room for the job no scan is begun.
            with self._inlet.job(key, self._destination, "device", subject, name) as job:
                self._job, self._source_job = job.id, job
                try:
                    self._bring_scans(job)
                except CancelledAtDevice as error:
                    job.cancel(str(error))
                    self._scan = None
                    self._forget()
                    return self._outcome("canceled", error)
                except ScannerError as error:
                    self._scanner.forget()
                    if self._scan is not None and not (isinstance(error, FeederFault) and not self._pages):
                        raise
                    job.cancel(str(error))  # no scan began, or none of any paper
                    return self._outcome("canceled", error)
        except Taken as error:
            return PullOutcome("taken", str(error), error.token)
        except Busy as error:
            return PullOutcome("busy", str(error), self._job, self._pages, error.seconds)
        except Refused as error:
            return self._outcome("aborted" if self._job else "refused", error)
        except (Ended, Cancelled) as error:
            return self._outcome("canceled", error)
        except ScannerError as error:
            return self._outcome("aborted", error)
        return self._outcome("stored", f"{self._pages} pages")

    def _outcome(self, state: PullState, text: object) -> PullOutcome:
        return PullOutcome(state, str(text), self._job, self._pages)

    def _bring_scans(self, job: SourceJob) -> None:
        """Bring one scan, and those of the platen that belong to it."""
        while True:
            settings = self._bring_scan(job)
            if settings.input != "platen" or not self._another(job):
                return
            job.token.check()
            if self._scan is not None:
                self._scan.finish()
                self._forget()

    def _bring_scan(self, job: SourceJob) -> EsclScanSettings:
        with EsclSession(self._scanner) as session:
            scan = DeviceScan(session, self._limits)
            with self._scans.running(scan), job.token.calling(lambda: scan.stop(self._told)):
                planned = self._plan(session, job)
                try:
                    scan.begin(planned.settings)
                finally:
                    if scan.path:
                        self._scan = scan
                        self._record = LeftOverRecord(self._inlet.folder, job.id, self._scanner, scan.path)
                try:
                    scan.fetch(job, planned.images)
                finally:
                    self._pages += scan.pages
        return planned.settings

    def _plan(self, session: EsclSession, job: SourceJob) -> ScanPlan:
        """Return what to ask for, and note what the device does not offer; raise if it cannot scan now."""
        status = session.status()
        if status.obstacle:
            raise (FeederFault if status.feeder_fault else DeviceRefused)(status.obstacle)
        wanted = self._destination.ticket
        planned = ticket.plan(wanted, self._choice, session.capabilities(), status, self._scanner.quirks)
        for note in planned.notes:
            self._inlet.log("scan ticket changed", job=self._job, destination=self._destination.label, reason=note)
            job.note(note)
        return planned

    def _told(self, outcome: DeleteOutcome) -> None:
        """Keep what the device said to the DELETE of a job that did not end well (ESCL-042)."""
        self._forget()
        if self._source_job is not None:
            with contextlib.suppress(Busy, Refused, Ended):
                self._source_job.told(outcome)

    def _forget(self) -> None:
        record, self._record = self._record, None
        if record is not None:
            record.remove()
