"""The scanner without HTTP: paper, sensors, one job at a time, and a panel.

Every method may be called by any thread. A client's request for an image waits here, with a deadline, until the image
is scanned, the job is cancelled, or the client has gone.
Source: escl.md sections 2, 4 and 6; the timing of quirks is that of `EsclBehaviour`.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from postscan.cli.device.escl.behaviour.behaviour import EsclBehaviour
from postscan.cli.device.escl.machine import jobs
from postscan.cli.device.escl.machine.fetch import FetchEnd, fetch_end, stays_open
from postscan.cli.device.escl.machine.jobs import PulledJob, PullSettings
from postscan.cli.device.escl.machine.paper import PaperPath, ScannerPaper
from postscan.cli.device.escl.machine.sides import ScannedSide

LISTED: Final = 20  # jobs that the status shows
KEPT: Final = 10_000  # jobs in memory, for tests
PATIENCE: Final = 120.0  # seconds after which a job that no client fetches is aborted
LONGEST_WAIT: Final = 90.0  # seconds of one request for an image
_TICK: Final = 0.1  # seconds between two looks at whether the client has gone


class MachineBusy(Exception):
    """Another job is in progress, or the device is locked."""


class PullRefused(Exception):
    """This device makes no such job; the HTTP status is the argument."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The end of a request for an image, and the image."""

    end: FetchEnd
    side: ScannedSide | None = None


class EsclMachine:
    """A scanner with *sides* in its feeder (or on its platen)."""

    def __init__(
        self,
        sides: list[ScannedSide],
        path: PaperPath,
        behaviour: EsclBehaviour,
        *,
        page_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.behaviour = behaviour
        self.page_seconds = max(page_seconds, behaviour.least_page_seconds)
        self.sides = tuple(sides)
        self._paper = ScannerPaper(sides, path, behaviour.empty_state)
        self._clock = clock
        self._changed = threading.Condition()
        self._jobs: deque[PulledJob] = deque(maxlen=KEPT)
        self._number = 0
        self._locked = self._stopped = False
        self._cold = behaviour.warm_up
        self._asked_status = False
        self.jam_after = self.cancel_after = 0
        """Images of a job after which the paper jams, or the user presses Cancel; 0: never. The last one ends it."""
        self.on_change: Callable[[PulledJob], None] = lambda _job: None
        """Called when a job begins or ends, with the lock held: it must not call the machine."""

    # --- what it shows

    @property
    def jobs(self) -> list[PulledJob]:
        """All jobs, oldest first."""
        with self._changed:
            return list(self._jobs)

    def listed(self) -> list[PulledJob]:
        """Return the jobs of the status, in the order of this model."""
        with self._changed:
            self._expire()
            shown = [job for job in self._jobs if job.listed][-LISTED:]
            return shown[::-1] if self.behaviour.newest_first else shown

    def now(self) -> float:
        """Return the time that ages are counted from."""
        return self._clock()

    def status(self) -> tuple[str, str]:
        """Return pwg:State and scan:AdfState ("" without a feeder); the device remembers that it was asked."""
        with self._changed:
            self._asked_status = True
            return self.peek()

    def peek(self) -> tuple[str, str]:
        """Return the same without a client that asks."""
        with self._changed:
            self._expire()
            state = "Processing" if self._active() else "Testing" if self._cold else "Idle"
            return state, self._paper.state

    # --- what a client does

    def create(self, settings: PullSettings) -> PulledJob:
        """Begin a job; raise `MachineBusy` or `PullRefused`."""
        with self._changed:
            self._expire()
            asked, self._asked_status = self._asked_status, False
            if self._locked or self._stopped or self._active():
                raise MachineBusy
            if self._cold:
                self._cold -= 1
                raise MachineBusy
            self._check(settings, asked)
            self._number += 1
            identity = str(uuid.uuid4())
            name = f"urn:uuid:{identity}" if self.behaviour.urn_jobs else str(self._number)
            now = self._clock()
            job = PulledJob(self._number, identity, settings, now, self._paper.sides_for(settings), name)
            job.ready, job.touched = now + self.page_seconds, now
            self._jobs.append(job)
            self.on_change(job)
            if self.behaviour.completed_without_images:
                job.sides.clear()
                self._end(job, jobs.COMPLETED, jobs.SUCCESS)
            return job

    def find(self, name: str) -> PulledJob | None:
        """Return the job with this last segment of its URI."""
        with self._changed:
            return next((job for job in self._jobs if job.name == name and job.listed), None)

    def fetch(self, job: PulledJob, gone: Callable[[], bool]) -> Fetched:
        """Wait for the next image of the job, at most `LONGEST_WAIT`; *gone* tells whether the client has closed."""
        deadline = self._clock() + LONGEST_WAIT
        with self._changed:
            while True:
                now = job.touched = self._clock()
                if (found := self._serve(job, now)) is not None:
                    return found
                if now >= deadline:
                    return Fetched(FetchEnd.NOT_READY)
                self._changed.wait(min(max(job.ready - now, 0.001), deadline - now, _TICK))
                if gone():
                    return Fetched(FetchEnd.GONE)

    def sent(self, job: PulledJob, began: float, *, whole: bool) -> None:
        """Note that the transfer of an image, asked for at *began*, has ended."""
        with self._changed:
            now = job.touched = job.last_end = self._clock()
            job.sending = False
            job.last_seconds = now - began
            job.ready = now + self.page_seconds
            if whole and not job.ended:
                job.images += 1
                if not job.sides and not stays_open(job, self.behaviour):
                    self._end(job, jobs.COMPLETED, jobs.SUCCESS)
                elif job.images == self.jam_after:
                    self.jam()
                elif job.images == self.cancel_after:
                    self.cancel()
            self._changed.notify_all()

    def delete(self, job: PulledJob) -> None:
        """Cancel a job, or tidy up one that has ended."""
        behaviour = self.behaviour
        with self._changed:
            job.deleted += 1
            if not job.ended and behaviour.processing_until_delete and not job.sides and job.images:
                self._end(job, jobs.COMPLETED, jobs.SUCCESS)
            elif not job.ended:
                self._end(job, jobs.CANCELED, jobs.BY_USER)
            elif job.state == jobs.COMPLETED:
                if behaviour.delete_after_end_locks:
                    job.faults.append("DELETE after a normal end")
                    self._locked = True
                if behaviour.delete_after_end_cancels:
                    job.state, job.reason = jobs.CANCELED, jobs.BY_USER

    def interrupted(self, job: PulledJob) -> bool:
        """Tell whether the image that is being sent is of no use any more."""
        return self._stopped or job.state in (jobs.CANCELED, jobs.ABORTED)

    # --- the panel

    def cancel(self) -> bool:
        """Press Cancel at the panel; return whether there was a job."""
        return self._stop_job(jobs.CANCELED, jobs.AT_DEVICE)

    def jam(self) -> bool:
        """Jam the paper; return whether that aborted a job."""
        with self._changed:
            self._paper.jammed = True
            return self._trouble()

    def open_door(self) -> bool:
        """Open the door of the feeder; return whether that aborted a job."""
        with self._changed:
            self._paper.open = True
            return self._trouble()

    def clear(self) -> None:
        """Take out jammed paper and close the door; what was not scanned stays in the feeder."""
        with self._changed:
            self._paper.jammed = self._paper.open = False

    def load(self, sides: list[ScannedSide] | None = None) -> None:
        """Put paper into the feeder: *sides*, else the same as at the start."""
        with self._changed:
            self._paper.feeder = deque(self.sides if sides is None else sides)

    def empty(self) -> None:
        """Take the paper out of the feeder."""
        with self._changed:
            self._paper.feeder.clear()

    def turn_page(self) -> None:
        """Put the next side on the platen."""
        with self._changed:
            self._paper.turn_page()

    def reboot(self) -> None:
        """Forget all jobs; the paper stays."""
        with self._changed:
            if (job := self._active()) is not None:
                self._end(job, jobs.ABORTED, jobs.BY_SYSTEM)
            for job in self._jobs:
                job.listed = False
            self._locked = False
            self._cold = self.behaviour.warm_up

    def stop(self) -> None:
        """End every waiting request."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    # --- inside, with the lock held

    def _active(self) -> PulledJob | None:
        return next((job for job in reversed(self._jobs) if not job.ended), None)

    def _check(self, settings: PullSettings, asked_status: bool) -> None:
        feeder = settings.source == jobs.FEEDER
        if (feeder and self.path is PaperPath.PLATEN) or (settings.duplex and self.path is not PaperPath.DUPLEX):
            raise PullRefused(409)
        if feeder and self.behaviour.status_before_feeder and not asked_status:
            raise PullRefused(409)

    def _serve(self, job: PulledJob, now: float) -> Fetched | None:
        """Decide how a request for an image ends now, and carry that out; None if it has to wait."""
        if self._stopped:
            return Fetched(FetchEnd.GONE)
        end = fetch_end(job, self._paper, self.behaviour, now)
        match end:
            case None:
                return None
            case FetchEnd.NOT_READY:
                job.refusals += 1
            case FetchEnd.SIDE:
                job.refusals = 0
                job.sending = True
                job.last = job.sides.popleft()
                if job.settings.source == jobs.FEEDER:
                    self._paper.feed(job.settings)
                return Fetched(FetchEnd.SIDE, job.last)
            case FetchEnd.AGAIN:
                job.repeated = job.sending = True
                return Fetched(FetchEnd.SIDE, job.last)
            case FetchEnd.TROUBLE if not job.ended:
                self._end(job, jobs.ABORTED, jobs.BY_SYSTEM)
            case FetchEnd.EMPTY if not job.ended:
                self._end(job, jobs.ABORTED, jobs.NO_PAPER)
            case FetchEnd.FINISHED if not job.ended and not job.images:
                self._end(job, jobs.ABORTED, jobs.BY_SYSTEM)
            case FetchEnd.FINISHED if not job.ended and not self.behaviour.processing_until_delete:
                self._end(job, jobs.COMPLETED, jobs.SUCCESS)
        return Fetched(end)

    def _trouble(self) -> bool:
        job = self._active()
        if job is None or job.settings.source != jobs.FEEDER:
            return False
        self._end(job, jobs.ABORTED, jobs.BY_SYSTEM)
        return True

    def _stop_job(self, state: str, reason: str) -> bool:
        with self._changed:
            if (job := self._active()) is None:
                return False
            self._end(job, state, reason)
            return True

    def _end(self, job: PulledJob, state: str, reason: str) -> None:
        """End a job; sheets that it did not scan stay in the feeder."""
        job.state, job.reason = state, reason
        if state == jobs.CANCELED and self.behaviour.forgets_cancelled:
            job.listed = False
        self.on_change(job)
        self._changed.notify_all()

    def _expire(self) -> None:
        """Abort a job whose client has not come back."""
        job = self._active()
        if job is not None and not job.sending and self._clock() - job.touched > PATIENCE:
            self._end(job, jobs.ABORTED, jobs.TIMED_OUT)
