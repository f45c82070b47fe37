"""The scan jobs of the simulated scanner: one table of states, one job at a time, one way to end a job.

A job that waits longer than allowed for RetrieveImage is aborted. Source: ws-scan.md sections 6 and 8.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from postscan.cli.device.wsscan.description.ticket import FinalTicket
from postscan.cli.device.wsscan.jobs.pages import ScannedPage
from postscan.cli.device.wsscan.protocol.soap import WsdFault

FIRST_SECONDS: Final = 60.0
"""Seconds from CreateScanJob to the first RetrieveImage, and from one page to the next (ws-scan.md section 6)."""

HISTORY: Final = 10_000
"""Jobs that are kept."""


class WsdJobState(StrEnum):
    """The states that this scanner uses of those of WS-Scan."""

    PENDING = "Pending"
    PROCESSING = "Processing"
    COMPLETED = "Completed"
    CANCELED = "Canceled"
    ABORTED = "Aborted"


TRANSITIONS: Final = {
    WsdJobState.PENDING: {
        WsdJobState.PROCESSING,
        WsdJobState.COMPLETED,
        WsdJobState.CANCELED,
        WsdJobState.ABORTED,
    },
    WsdJobState.PROCESSING: {WsdJobState.COMPLETED, WsdJobState.CANCELED, WsdJobState.ABORTED},
    WsdJobState.COMPLETED: set(),
    WsdJobState.CANCELED: set(),
    WsdJobState.ABORTED: set(),
}
"""From each state the ones that may follow; a state that nothing follows is an end."""


@dataclass(eq=False)
class DeviceJob:
    """A scan job: what it scans, how far it is, and its state with the reason.

    `whole` counts the pages that were sent up to their end; `scan_identifier` is "" if no panel started the job.
    """

    id: int
    token: str
    ticket: FinalTicket
    pages: Sequence[ScannedPage]
    scan_identifier: str
    state: WsdJobState = WsdJobState.PENDING
    reason: str = "None"
    taken: int = 0
    whole: int = 0
    created: float = field(default_factory=time.time)
    completed: float = 0.0
    sending: bool = False
    deadline: float = 0.0
    over: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def has_ended(self) -> bool:
        """True in a state that nothing follows."""
        return not TRANSITIONS[self.state]

    @property
    def is_complete(self) -> bool:
        """True if the ticket's number of images is sent; one from the platen, all there is for 0."""
        wanted = 1 if self.ticket.input_source == "Platen" else self.ticket.images
        return 0 < wanted <= self.whole


JobChanged = Callable[[DeviceJob], None]


class JobList:
    """All jobs of a scanner; at most one is active.

    *changed* is called after each change, in their order, while *lock* is held, which the jobs share with the panel.
    """

    def __init__(self, lock: threading.RLock, changed: JobChanged, first_seconds: float = FIRST_SECONDS) -> None:
        self._lock = lock
        self._changed = changed
        self._first_seconds = first_seconds
        self._jobs: list[DeviceJob] = []
        self._forgotten: list[DeviceJob] = []
        self._ids = itertools.count(1)

    @property
    def all(self) -> list[DeviceJob]:
        """The jobs that the scanner knows, the oldest first."""
        with self._lock:
            return list(self._jobs)

    @property
    def ever(self) -> list[DeviceJob]:
        """All jobs, those that a restart has forgotten as well."""
        with self._lock:
            return [*self._forgotten, *self._jobs]

    @property
    def active(self) -> DeviceJob | None:
        """The job that has not ended."""
        with self._lock:
            last = self._jobs[-1] if self._jobs else None
            return None if last is None or last.has_ended else last

    def create(self, ticket: FinalTicket, pages: Sequence[ScannedPage], scan_identifier: str) -> DeviceJob:
        """Add a job; raise `WsdFault` while another is active."""
        with self._lock:
            if self.active is not None:
                raise WsdFault("wscn:ServerErrorNotAcceptingJobs", "The scanner has another job.", sender=False)
            job = DeviceJob(next(self._ids), secrets.token_urlsafe(16), ticket, tuple(pages), scan_identifier)
            job.deadline = time.monotonic() + self._first_seconds
            self._jobs.append(job)
            del self._jobs[:-HISTORY]
            self._changed(job)
            return job

    def find(self, identifier: str) -> DeviceJob:
        """Return the job with this JobId; raise `WsdFault`."""
        with self._lock:
            for job in reversed(self._jobs):
                if str(job.id) == identifier:
                    return job
        raise WsdFault("wscn:ClientErrorJobIdNotFound", f"There is no job {identifier[:20]!r}.")

    def take(self, job: DeviceJob) -> ScannedPage:
        """Return the next page; raise `WsdFault` for an ended job, and after the last page, which completes the job."""
        with self._lock:
            self._check_open(job)
            if job.taken >= len(job.pages):
                self.end(job, WsdJobState.COMPLETED, "JobCompletedSuccessfully")
                self._check_open(job)
            page = job.pages[job.taken]
            job.taken += 1
            job.sending = True
            if job.state is WsdJobState.PENDING:
                job.state, job.reason = WsdJobState.PROCESSING, "JobScanningAndTransfering"
                self._changed(job)
            return page

    def sent(self, job: DeviceJob) -> bool:
        """Count a page as sent; false if the job has ended. The last page of the ticket completes the job."""
        with self._lock:
            job.sending = False
            if job.has_ended:
                return False
            job.whole += 1
            job.deadline = time.monotonic() + self._first_seconds
            if job.is_complete:
                self.end(job, WsdJobState.COMPLETED, "JobCompletedSuccessfully")
            else:
                self._changed(job)
            return True

    def end(self, job: DeviceJob, state: WsdJobState, reason: str) -> bool:
        """End the job; false if it has ended before."""
        with self._lock:
            if state not in TRANSITIONS[job.state]:
                return False
            job.state, job.reason, job.completed = state, reason, time.time()
            job.sending = False
            job.over.set()
            self._changed(job)
            return True

    def end_late_ones(self) -> None:
        """End the job whose client has let it wait for too long; it is complete if all paper was sent."""
        with self._lock:
            job = self.active
            if job is None or job.sending or time.monotonic() < job.deadline:
                return
            if job.whole and job.taken >= len(job.pages):
                self.end(job, WsdJobState.COMPLETED, "JobCompletedSuccessfully")
            else:
                self.end(job, WsdJobState.ABORTED, "JobTimedOut")

    def forget(self) -> None:
        """Abort the active job and forget all, as a restart does."""
        with self._lock:
            job = self.active
            if job is not None:
                self.end(job, WsdJobState.ABORTED, "ScannerStopped")
            self._forgotten = [*self._forgotten, *self._jobs][-HISTORY:]
            self._jobs = []

    def _check_open(self, job: DeviceJob) -> None:
        if job.state is WsdJobState.CANCELED:
            raise WsdFault("wscn:ClientErrorJobCancelled", "The job was cancelled.")
        if job.state is WsdJobState.COMPLETED:
            raise WsdFault("wscn:ClientErrorNoImagesAvailable", "There are no more images.")
        if job.state is WsdJobState.ABORTED:
            raise WsdFault("wscn:OperationFailed", f"The job was aborted: {job.reason}.", sender=False)
        if job.sending:
            raise WsdFault("wscn:OperationFailed", "Another RetrieveImage of this job has not ended.", sender=False)
