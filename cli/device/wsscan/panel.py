"""The panel of the simulated scanner: destinations to choose, presses, and the Stop button.

A press sends ScanAvailableEvent and waits for the job that the client creates. It ends with the job; as NotDelivered if
the event failed; as NotAnswered if no job comes in time. Source: ws-scan.md sections 5 and 9.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from postscan.cli.device.wsscan.behaviour.misbehaviours import WsdMisbehaviours
from postscan.cli.device.wsscan.eventing import events
from postscan.cli.device.wsscan.eventing.notifier import WsdNotifier
from postscan.cli.device.wsscan.eventing.subscriptions import (
    SCAN_AVAILABLE,
    PanelDestination,
    SubscriptionTable,
    WsdSubscription,
)
from postscan.cli.device.wsscan.jobs.job_list import DeviceJob, JobList, WsdJobState
from postscan.cli.device.wsscan.protocol.soap import SoapWriter, WsdFault
from postscan.core.errors import PostscanError

PRESS_SECONDS: Final = 60.0
"""Seconds that a press waits for its job."""


class PanelError(PostscanError):
    """The panel cannot do that now."""


class PressState(StrEnum):
    """How far a press is; the last five are ends."""

    WAITING = "Waiting"
    SCANNING = "Scanning"
    COMPLETED = "Completed"
    CANCELED = "Canceled"
    ABORTED = "Aborted"
    NOT_DELIVERED = "NotDelivered"
    NOT_ANSWERED = "NotAnswered"


@dataclass(eq=False)
class PanelPress:
    """A destination was chosen; `why` is the reason of a failed delivery, `job` the job that the client made of it.

    `told` is set when the event was delivered or has failed, `ended` at the end of the press.
    """

    destination: PanelDestination
    subscription: WsdSubscription
    input_source: str
    scan_identifier: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: PressState = PressState.WAITING
    why: str = ""
    job: DeviceJob | None = None
    deadline: float = 0.0
    told: threading.Event = field(default_factory=threading.Event, repr=False)
    ended: threading.Event = field(default_factory=threading.Event, repr=False)

    def wait(self, seconds: float) -> PressState:
        """Wait for the end, at most so long; return the state."""
        self.ended.wait(seconds)
        return self.state


PanelLog = Callable[[str], None]


class ScannerPanel:
    """The panel. *log* is called with each line that it shows."""

    def __init__(
        self,
        subscriptions: SubscriptionTable,
        jobs: JobList,
        notifier: WsdNotifier,
        writer: SoapWriter,
        misbehaviours: WsdMisbehaviours,
        log: PanelLog,
        lock: threading.RLock,
        press_seconds: float = PRESS_SECONDS,
    ) -> None:
        self._subscriptions, self._jobs, self._notifier = subscriptions, jobs, notifier
        self._writer, self._misbehaviours, self._log = writer, misbehaviours, log
        self._seconds = press_seconds
        self._lock = lock
        self._presses: list[PanelPress] = []

    @property
    def entries(self) -> list[tuple[PanelDestination, WsdSubscription]]:
        """What the panel shows: each destination of each subscription that hears of presses."""
        return [
            (destination, subscription)
            for subscription in self._subscriptions.live
            if subscription.wants(SCAN_AVAILABLE)
            for destination in subscription.destinations
        ]

    @property
    def waiting(self) -> PanelPress | None:
        """The press that has no job yet."""
        with self._lock:
            return next((one for one in self._presses if one.state is PressState.WAITING), None)

    def press(self, label: str, input_source: str) -> PanelPress:
        """Choose the first destination with this label; raise `PanelError` without one, or if the scanner is busy."""
        with self._lock:
            found = next(((one, by) for one, by in self.entries if one.label == label), None)
            if found is None:
                raise PanelError(f"the panel shows no destination {label!r}")
            if self._jobs.active is not None or self.waiting is not None:
                raise PanelError("the scanner is busy")
            press = PanelPress(found[0], found[1], input_source)
            press.deadline = time.monotonic() + self._seconds
            self._presses = [*self._presses[-999:], press]
        self._log(f"{label}: pressed")
        if not self._misbehaviours.has("dead-event"):
            for _ in range(2 if self._misbehaviours.has("double-event") else 1):
                self._send(press)
        return press

    def claim(self, scan_identifier: str, token: str) -> PanelPress:
        """Return the press that a CreateScanJob belongs to; raise `WsdFault`."""
        with self._lock:
            press = next((one for one in self._presses if one.scan_identifier == scan_identifier), None)
            over = (PressState.NOT_ANSWERED, PressState.ABORTED)
            if press is None or press.job is not None or press.state in over:
                raise WsdFault("wscn:ClientErrorInvalidScanIdentifier", "No scan waits under this identifier.")
            if press.state is PressState.CANCELED:
                raise WsdFault("wscn:ClientErrorJobCancelled", "The scan was cancelled at the panel.")
            if not token or token != press.destination.token or not press.subscription.tokens_valid:
                raise WsdFault("wscn:ClientErrorInvalidDestinationToken", "The destination's token is not valid.")
            return press

    def started(self, press: PanelPress, job: DeviceJob) -> None:
        """Connect a press with its job."""
        with self._lock:
            press.job = job
            if press.state in (PressState.WAITING, PressState.NOT_DELIVERED):
                press.state = PressState.SCANNING
        self._log(f"{press.destination.label}: scanning, job {job.id}")
        if job.has_ended:
            self.job_changed(job)

    def job_changed(self, job: DeviceJob) -> None:
        """Show how the job of a press goes on."""
        with self._lock:
            press = next((one for one in self._presses if one.job is job), None)
        if press is None:
            return
        if not job.has_ended and job.whole:
            self._log(f"{press.destination.label}: {page_count(job.whole)} sent")
        elif job.has_ended:
            self._end(press, PressState(job.state.value), f"{job.state} ({job.reason}), {page_count(job.whole)} sent")

    def cancel(self) -> bool:
        """Press Stop: cancel the active job or the waiting press; false if the scan has ended."""
        job = self._jobs.active
        if job is not None and self._jobs.end(job, WsdJobState.CANCELED, "JobCanceledAtDevice"):
            return True
        with self._lock:
            press = self.waiting
            if press is not None:
                self._end(press, PressState.CANCELED, "Canceled before it began")
        if press is None:
            self._log("the scan has ended")
        return press is not None

    def end_late_ones(self) -> None:
        """End a press that has waited too long for its job."""
        press = self.waiting
        if press is not None and time.monotonic() > press.deadline:
            self._end(press, PressState.NOT_ANSWERED, "not available: the computer does not scan")

    def forget(self) -> None:
        """End the waiting press, as a restart does."""
        with self._lock:
            press = self.waiting
            if press is not None:
                self._end(press, PressState.ABORTED, "the scanner was switched off")

    def _send(self, press: PanelPress) -> None:
        w, destination = self._writer, press.destination
        content = events.scan_available(w, destination.context, press.scan_identifier, press.input_source)
        self._notifier.notify(press.subscription, SCAN_AVAILABLE, content, lambda why: self._delivered(press, why))

    def _delivered(self, press: PanelPress, why: str) -> None:
        press.told.set()
        if why:
            with self._lock:
                press.why = why
                waiting = press.state is PressState.WAITING
            if waiting:
                self._end(press, PressState.NOT_DELIVERED, f"cannot reach the computer: {why}")

    def _end(self, press: PanelPress, state: PressState, line: str) -> None:
        with self._lock:
            if press.ended.is_set():
                return
            press.state = state
        self._log(f"{press.destination.label}: {line}")
        press.ended.set()


def page_count(count: int) -> str:
    """Return a number of pages as text."""
    return f"{count} page{'' if count == 1 else 's'}"


def shown_destinations(labels: list[str]) -> str:
    """Return the destinations of a panel as one line, numbered for `press`."""
    if not labels:
        return "no destinations"
    return "destinations: " + ", ".join(f"{number} {label}" for number, label in enumerate(labels, 1))
