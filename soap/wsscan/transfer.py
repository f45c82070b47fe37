"""From a press to the pages: one press is one job, and a cancel goes both ways.

The job is created here before the device is asked for anything, so a device never scans what has no room. Every error
of a device ends the job; none is raised. Source: ws-scan.md sections 6, 8, 9 and 11; WSS-028, WSS-035, WSS-060 to
WSS-071.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from typing import Final

from postscan.plugins import Busy, CancellationToken, Ended, Refused, SourceContext, SourceJob, Taken
from postscan.soap.wsscan.client import ScannerClient
from postscan.soap.wsscan.faults import CallAborted, CallError, DeviceAway, StaleToken
from postscan.soap.wsscan.messages.jobs import CreatedJob, read_job_status, write_get_job_status
from postscan.soap.wsscan.messages.names import GET_JOB_ELEMENTS
from postscan.soap.wsscan.model import Press, Scanner
from postscan.soap.wsscan.scan_job.cancel import CancelAnswer, DeviceCancel
from postscan.soap.wsscan.scan_job.creation import CANCELLED_THERE, JobCreation
from postscan.soap.wsscan.scan_job.elements_cache import ElementsCache
from postscan.soap.wsscan.scan_job.limits import ScanJobLimits
from postscan.soap.wsscan.scan_job.outcome import (
    OutcomeKind,
    ScanCancelled,
    ScanFailed,
    ScanNotStarted,
    ScanOutcome,
    SourceStopped,
)
from postscan.soap.wsscan.scan_job.pages import JobPages
from postscan.soap.wsscan.scan_job.scan_jobs import DeviceJobEnd, ScanJobs
from postscan.soap.wsscan.scan_job.ticket import ChosenTicket, TicketChange, choose_ticket, substituted

USUAL_LIMITS: Final = ScanJobLimits()

_SLICE: Final = 0.25
"""Seconds between two looks at the stop of the source during a pause."""


def bring(
    inlet: SourceContext,
    scanner: Scanner,
    press: Press,
    token: CancellationToken,
    *,
    settings: ScanJobLimits = USUAL_LIMITS,
    jobs: ScanJobs | None = None,
    elements: ElementsCache | None = None,
    opened: Callable[[], object] = lambda: None,
) -> ScanOutcome:
    """Make a job of one press, with all its pages, and return how it ended.

    *token* is the one of the source: a scan that runs then has `stop_seconds` to end. *jobs* and *elements* belong to
    the device and are shared by all its scans: events reach a running scan through the first, the second keeps what the
    device offers. *opened* is called when the job is there and the device was not asked for anything yet; what it
    raises fails the job and is raised here.

    Raises `StaleToken` if the device does not know the press's token: its job is cancelled, and the caller subscribes
    again. Raises nothing else for what a device does.
    """
    scan = _Scan(inlet, scanner, press, token, settings, jobs or ScanJobs(), elements or ElementsCache())
    subject, key = scanner.subject, _key(scanner, press)
    try:
        with inlet.job(key, press.destination, "device", subject) as job:
            opened()
            scan.run(job)
    except Taken as taken:
        return scan.outcome(OutcomeKind.TAKEN, str(taken), job=taken.token)
    except Ended as ended:
        scan.tell_late()
        return scan.outcome(OutcomeKind.CANCELLED, ended.reason)
    except ScanCancelled as cancelled:
        kind = OutcomeKind.FAILED if isinstance(cancelled, ScanNotStarted) else OutcomeKind.CANCELLED
        return scan.outcome(kind, str(cancelled))
    except StaleToken:
        raise
    except (Busy, Refused) as error:
        scan.give_up()
        kind = OutcomeKind.BUSY if isinstance(error, Busy) else OutcomeKind.REFUSED
        return scan.outcome(OutcomeKind.FAILED if scan.job_id else kind, str(error))
    except (ScanFailed, CallError, SourceStopped) as error:
        scan.give_up()
        return scan.outcome(OutcomeKind.FAILED, str(error))
    return scan.outcome(OutcomeKind.STORED)


def _key(scanner: Scanner, press: Press) -> str:
    """Return the key of a press; a pull is an origin of its own each time.

    The token belongs to the subscription: a device that counts its presses from 1 again after it was switched off gives
    another one, so that its next press is not taken for an old one.
    """
    if press.pulled:
        return f"{scanner.uuid}/pull/{uuid.uuid4()}"
    return f"{scanner.uuid}/{press.scan_identifier}/{press.token}"


class _StopAfter:
    """Lets a scan go on for some seconds after the source was stopped."""

    def __init__(self, token: CancellationToken, seconds: float) -> None:
        self._token = token
        self._seconds = seconds
        self._until: float | None = None

    def check(self) -> None:
        """Raise `SourceStopped` when they are over."""
        if not self._token.cancelled:
            return
        if self._until is None:
            self._until = time.monotonic() + self._seconds
        if time.monotonic() >= self._until:
            raise SourceStopped


class _Scan:
    """One press: our job and the job of the device."""

    def __init__(
        self,
        inlet: SourceContext,
        scanner: Scanner,
        press: Press,
        token: CancellationToken,
        limits: ScanJobLimits,
        jobs: ScanJobs,
        elements: ElementsCache,
    ) -> None:
        self._inlet = inlet
        self._scanner = scanner
        self._press = press
        self._limits = limits
        self._jobs = jobs
        self._elements = elements
        self._stop = _StopAfter(token, limits.stop_seconds)
        self._client = ScannerClient(scanner.host, stop=self._stop)
        self._cancel = DeviceCancel(scanner, self._client, self._record, limits.cancel_seconds)
        self._job: SourceJob | None = None
        self._end: DeviceJobEnd | None = None
        self._changes: tuple[TicketChange, ...] = ()
        self._pages = 0
        self.job_id = ""

    def outcome(self, kind: OutcomeKind, reason: str = "", job: str = "") -> ScanOutcome:
        """Return how this press ended."""
        return ScanOutcome(kind, job or self.job_id, self._pages, reason, self._changes)

    def run(self, job: SourceJob) -> None:
        """Bring all pages into *job*; the end of its block ends it."""
        self._job, self.job_id = job, job.id
        try:
            with job.token.calling(self._cancel.pass_on):
                self._transfer(job)
        except (ScanCancelled, StaleToken) as reason:
            job.cancel(str(reason))
            raise

    def tell_late(self) -> None:
        """Pass a cancel on that came when no call was running any more."""
        self._cancel.late()

    def give_up(self) -> None:
        """Let the device end its job, since ours has failed."""
        self._cancel.give_up()

    def _transfer(self, job: SourceJob) -> None:
        elements = self._elements.elements(self._client, self._scanner)
        chosen = choose_ticket(
            self._press.destination,
            elements,
            input_source=self._press.input_source,
            known_quirks=self._scanner.quirks,
        )
        device_job, chosen = self._create(chosen)
        job.token.check()
        sent = chosen.ticket.parameters
        self._note_changes(job, chosen.changes + substituted(sent, device_job.parameters))
        with self._jobs.running(device_job.id, self._ended_there):
            pages = JobPages(self._client, self._scanner, device_job, sent, self._cancel, self._limits, self._pause)
            try:
                pages.fetch(job)
            except (CallAborted, DeviceAway, ScanFailed) as error:
                job.token.check()
                self._raise_end(device_job, error)
                raise
            finally:
                self._pages = pages.number
                self._note_repeated(pages.repeated)
            if self._end is not None:
                self._raise_end(device_job, ScanFailed("the scanner ended the job"))

    def _create(self, chosen: ChosenTicket) -> tuple[CreatedJob, ChosenTicket]:
        creation = JobCreation(self._client, self._scanner, self._press, self._limits, self._pause)
        self._cancel.creating()
        job_id = 0
        try:
            device_job, chosen = creation.create(chosen)
            job_id = device_job.id
        except DeviceAway as error:
            raise ScanNotStarted(str(error)) from error
        finally:
            self._cancel.created(job_id)
        return device_job, chosen

    def _ended_there(self, end: DeviceJobEnd) -> None:
        """Receive the end of the device's job from an event; called in another thread."""
        if end.failed:
            self._end = end
            self._client.abort()

    def _raise_end(self, device_job: CreatedJob, error: Exception) -> None:
        """Raise how the device's job has ended, if it has: by the event, or else as the device answers now."""
        end = self._end or self._asked_end(device_job)
        if end is None or not end.failed:
            return
        self._cancel.over()
        if end.cancelled:
            raise ScanCancelled(CANCELLED_THERE) from error
        raise ScanFailed(f"the scanner ended the job: {end}") from error

    def _asked_end(self, device_job: CreatedJob) -> DeviceJobEnd | None:
        """Ask the device for the state of its job, after a connection broke."""
        client = ScannerClient(self._scanner.host, stop=self._stop)
        with contextlib.suppress(CallError):
            answer = client.call(
                self._scanner.service,
                GET_JOB_ELEMENTS,
                write_get_job_status(device_job.id),
                seconds=self._limits.cancel_seconds,
            )
            return DeviceJobEnd(*read_job_status(answer))
        return None

    def _pause(self, seconds: float) -> None:
        """Wait; raise if our job was cancelled, or the source was stopped."""
        assert self._job is not None
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._job.token.wait(min(left, _SLICE))
            self._job.token.check()
            self._stop.check()

    def _record(self, answer: CancelAnswer) -> None:
        """Store what the device answered to the cancel."""
        if self._job is not None:
            with contextlib.suppress(Busy, Refused, Ended):
                self._job.told(answer)

    def _note_changes(self, job: SourceJob, changes: tuple[TicketChange, ...]) -> None:
        self._changes = changes
        for change in changes:
            self._log("scan ticket changed", "info", change=change)
            job.note(str(change))

    def _note_repeated(self, pages: list[int]) -> None:
        for page in pages:
            self._log("page has the bytes of the one before", "warning", page=page)

    def _log(self, text: str, level: str, **fields: object) -> None:
        destination = self._press.destination.label
        self._inlet.log(text, level, job=self.job_id, device=self._scanner.uuid, destination=destination, **fields)
