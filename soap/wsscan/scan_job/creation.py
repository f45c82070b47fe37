"""Create the job at the device: CreateScanJob, again as long as its faults allow. Source: ws-scan.md section 8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from postscan.soap.wsscan.client import ScannerClient
from postscan.soap.wsscan.faults import (
    BAD_FORMAT,
    BAD_IDENTIFIER,
    BAD_TOKEN,
    CONFLICT,
    JOB_CANCELLED,
    NO_IMAGES,
    NOT_ACCEPTING,
    TEMPORARY,
    DeviceFault,
    StaleToken,
)
from postscan.soap.wsscan.messages.configuration import IDLE, PLATEN
from postscan.soap.wsscan.messages.jobs import CreatedJob, read_created_job, write_create_job
from postscan.soap.wsscan.messages.names import CREATE_SCAN_JOB
from postscan.soap.wsscan.model import Press, Scanner
from postscan.soap.wsscan.scan_job import quirks
from postscan.soap.wsscan.scan_job.elements_cache import ask_status
from postscan.soap.wsscan.scan_job.limits import ScanJobLimits
from postscan.soap.wsscan.scan_job.outcome import ScanCancelled, ScanNotStarted
from postscan.soap.wsscan.scan_job.ticket import ChosenTicket

CANCELLED_THERE: Final = "cancelled at the scanner"
NO_PAPER: Final = "there is no paper in the scanner"


class JobCreation:
    """The attempts to create one job. *pause* waits for so many seconds, and raises if the scan has to end."""

    def __init__(
        self,
        client: ScannerClient,
        scanner: Scanner,
        press: Press,
        limits: ScanJobLimits,
        pause: Callable[[float], None],
    ) -> None:
        self._client = client
        self._scanner = scanner
        self._press = press
        self._limits = limits
        self._pause = pause
        self._warm_ups = 0
        self._tries = 0
        self._simplified = False

    def create(self, chosen: ChosenTicket) -> tuple[CreatedJob, ChosenTicket]:
        """Return the job of the device, and the ticket that it accepted.

        Raises `StaleToken`, `ScanNotStarted` or `ScanCancelled` if the device creates none, and `DeviceAway`.
        """
        while True:
            try:
                return self._ask(chosen), chosen
            except DeviceFault as fault:
                chosen = self._after(fault, chosen)

    def _ask(self, chosen: ChosenTicket) -> CreatedJob:
        body = write_create_job(chosen.ticket, self._press.scan_identifier, self._press.token)
        answer = self._client.call(self._scanner.service, CREATE_SCAN_JOB, body, seconds=self._limits.answer_seconds)
        return read_created_job(answer)

    def _after(self, fault: DeviceFault, chosen: ChosenTicket) -> ChosenTicket:
        """Return the ticket for the next attempt; raise if there is none."""
        if fault.named(BAD_TOKEN, BAD_IDENTIFIER):
            raise StaleToken(str(fault)) from fault
        if fault.named(BAD_FORMAT) and (other := chosen.next_format()) is not None:
            return other
        if fault.named(CONFLICT) and not self._simplified:
            self._simplified = True
            return chosen.least()
        if fault.named(TEMPORARY) and self._tries < self._limits.temporary_tries:
            self._tries += 1
            self._pause(self._limits.warm_up_pause)
            return chosen
        if fault.named(NOT_ACCEPTING):
            self._await_warm_up(fault, chosen)
            return chosen
        if fault.named(JOB_CANCELLED):
            raise ScanCancelled(CANCELLED_THERE) from fault
        if fault.named(NO_IMAGES):
            raise ScanCancelled(NO_PAPER) from fault
        raise ScanNotStarted(str(fault)) from fault

    def _await_warm_up(self, fault: DeviceFault, chosen: ChosenTicket) -> None:
        """Wait for a device that warms up; raise `ScanNotStarted` for one that is in another state."""
        status = ask_status(self._client, self._scanner)
        if status.warming_up and self._warm_ups < self._limits.warm_ups:
            self._warm_ups += 1
            self._pause(self._limits.warm_up_pause)
            return
        from_feeder = chosen.ticket.parameters.input_source != PLATEN
        if quirks.EMPTY_FEEDER_BUSY in self._scanner.quirks and status.state == IDLE and from_feeder:
            raise ScanCancelled(NO_PAPER) from fault
        raise ScanNotStarted(f"{fault}; the scanner is {status}") from fault
