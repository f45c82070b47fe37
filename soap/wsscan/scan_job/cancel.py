"""Pass the cancel of our job on to the device, once, and record what the device answered.

CancelJob goes over a connection of its own while the image is still coming; then the running call is ended. Our job is
cancelled before, and waits for nothing here. Source: ws-scan.md section 9; WSS-060, WSS-061, WSS-063, WSS-064.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Literal

from postscan.soap.wsscan.client import ScannerClient
from postscan.soap.wsscan.faults import JOB_CANCELLED, NO_SUCH_JOB, DeviceAway, DeviceFault
from postscan.soap.wsscan.messages.jobs import write_cancel_job
from postscan.soap.wsscan.messages.names import CANCEL_JOB
from postscan.soap.wsscan.model import Scanner

CancelAnswer = Literal["stopped", "refused", "away"]

_OVER: Final = (NO_SUCH_JOB, JOB_CANCELLED)
"""Faults that say that nothing of the job is left to be cancelled."""


class DeviceCancel:
    """The cancel of one job at its device.

    `pass_on` is called in another thread than the rest. *record* stores the answer; *client* is the one whose calls a
    cancel ends; *seconds* bound the call.
    """

    def __init__(
        self, scanner: Scanner, client: ScannerClient, record: Callable[[CancelAnswer], object], seconds: float
    ) -> None:
        self._scanner = scanner
        self._client = client
        self._record = record
        self._seconds = seconds
        self._lock = threading.Lock()  # of what follows
        self._job_id = 0
        self._creating = False
        self._requested = False
        self._sent = False
        self._answered = threading.Event()

    def creating(self) -> None:
        """Begin to create the job at the device: from now on a cancel waits for the answer with its JobId."""
        with self._lock:
            self._creating = True

    def created(self, job_id: int) -> None:
        """The device has created its job; 0 if it has not. Sends a cancel that came meanwhile."""
        with self._lock:
            self._creating = False
            self._job_id = job_id
            requested = self._requested
        if requested:
            self._send()

    def over(self) -> None:
        """The job has ended at the device: there is nothing to cancel."""
        with self._lock:
            self._job_id = 0

    def pass_on(self) -> None:
        """Our job was cancelled: send CancelJob, record the answer, and end the running call."""
        with self._lock:
            self._requested = True
            if self._creating:
                return
        self._send()
        self._client.abort()

    def wait(self) -> None:
        """Wait for the answer to a cancel that is being passed on, so that the image is not cut off before."""
        self._answered.wait(self._seconds)

    def give_up(self) -> None:
        """Our job has failed, or could not be stored any more: the device need not go on."""
        self._send()

    def late(self) -> None:
        """Our job was cancelled after its last image: send CancelJob all the same, and record the answer."""
        with self._lock:
            self._requested = True
        self._send()

    def _send(self) -> None:
        with self._lock:
            job_id, recorded = self._job_id, self._requested
            if self._sent or not job_id:
                return
            self._sent = True
        try:
            answer = self._call(job_id)
            if recorded:
                self._record(answer)
        finally:
            self._answered.set()

    def _call(self, job_id: int) -> CancelAnswer:
        client = ScannerClient(self._scanner.host, stop=None)
        try:
            client.call(self._scanner.service, CANCEL_JOB, write_cancel_job(job_id), seconds=self._seconds)
        except DeviceFault as fault:
            return "stopped" if fault.named(*_OVER) else "refused"
        except DeviceAway:
            return "away"
        return "stopped"
