"""One job of a device: begun, its pages brought into a job of the server, and ended.

A page is durable before the next one is asked for, since no device gives a page twice. Whether the scan has ended well
is said by the list of jobs of the device, and not by the status 404 alone. Source: escl.md section 6; ESCL-023 to
ESCL-034, ESCL-040 to ESCL-043.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from postscan.plugins import SourceJob
from postscan.plugins.sources.escl.device.quirks import DeviceQuirk
from postscan.plugins.sources.escl.device.session import EsclSession, retry_after
from postscan.plugins.sources.escl.errors import (
    CancelledAtDevice,
    DeviceBusy,
    DeviceRefused,
    FeederFault,
    PageLost,
    ScanBrokenOff,
    ScannerAway,
    ScannerError,
)
from postscan.plugins.sources.escl.http.client import PageStream
from postscan.plugins.sources.escl.messages import xml
from postscan.plugins.sources.escl.messages.scan_settings import EsclScanSettings
from postscan.plugins.sources.escl.messages.status import EMPTY, DeviceJobInfo, DeviceStatus

DeleteOutcome = Literal["stopped", "refused", "away"]

TRIES: Final = 30
"""How often one page is asked for while the device is not ready (ESCL-026)."""

DELETE_SECONDS: Final = 10.0
"""For how long a device may take to answer a DELETE, for which nothing waits."""

_JOBS: Final = "/ScanJobs/"
_LOOKS: Final = 4  # at the status behind the last page: some devices are late with it
_LOOK_PAUSE: Final = 0.5  # seconds
_LONGEST_PAUSE: Final = 1.0  # seconds before the next page of a device with PAUSE_BETWEEN_PAGES


@dataclass(frozen=True)
class PageLimits:
    """The most pages of a scan, and the most bytes of one of them."""

    pages: int = 1000
    bytes: int = 2 << 30


class DeviceScan:
    """One job of a device; `stop` may be called from any thread, the others from that of the session.

    `path` is its path from `begin` on, `pages` the number of its pages so far; `is_over` says that it has ended well at
    the device. All but `stop` and `finish` raise
    `ScannerError`s.
    """

    def __init__(self, session: EsclSession, limits: PageLimits) -> None:
        self.scanner = session.scanner
        self.path = ""
        self.pages = 0
        self.is_over = False
        self._has_more = True
        self._last_page = b""
        self._session, self._limits = session, limits
        self._has_feeder = False
        self._lock = threading.Lock()  # of what follows
        self._posting = False
        self._on_deleted: Callable[[DeleteOutcome], object] = lambda _outcome: None
        self._deleting: threading.Thread | None = None

    def begin(self, settings: EsclScanSettings) -> None:
        """Send the settings; the device begins to scan. Raises `FeederFault` if that is why it does not."""
        self._has_feeder = settings.input != "platen"
        with self._lock:
            if self._session.stopped.is_set():
                raise ScanBrokenOff("the scan was broken off before it began")
            self._posting = True
        try:
            path = self._session.create_job(settings.document())
        except (DeviceRefused, DeviceBusy):
            with self._lock:
                self._posting = False
            self._check_could_begin()
            raise
        with self._lock:
            self._posting = False
            self.path = path
            if self._session.stopped.is_set():  # meanwhile: the device has begun all the same
                self._delete_beside()
                raise ScanBrokenOff("the scan was broken off when it had begun")

    def fetch(self, job: SourceJob, images: int = 0) -> int:
        """Bring the pages into an open job, and return their number when the device has ended well.

        *images* is the number of pages after which no more are asked for; 0 for all. Raises `CancelledAtDevice`,
        `PageLost`, `FeederFault` and the other `ScannerError`s, and what the pages of the job raise.
        """
        try:
            return self._fetch_all(job, images)
        except (PageLost, ScannerAway, DeviceRefused):
            self._check_cancelled()
            raise

    def _fetch_all(self, job: SourceJob, images: int) -> int:
        most = (images or self._limits.pages) if self._has_feeder else 1
        while self.pages < most and self._has_more:
            self._has_more = self._next(job)
        if self._has_feeder and not images and self._has_more:
            raise DeviceRefused(f"the device sent {most} pages and did not come to an end")
        self._check_end(self._session.status(), limited=bool(images) and self._has_more)
        self.is_over = True
        return self.pages

    def stop(self, on_deleted: Callable[[DeleteOutcome], object] | None = None) -> None:
        """Ask the device to cancel, on a connection of its own, and end what waits for it; return at once (ESCL-040).

        *on_deleted* is called with what the device said, in another thread; not at all if it had no job yet.
        """
        with self._lock:
            if self._session.stopped.is_set():
                return
            self._session.stopped.set()
            self._on_deleted = on_deleted or self._on_deleted
            if self._posting:
                return  # the answer has the path of the job, without which it cannot be deleted
            if self.path:
                self._delete_beside()
        self._session.stop()

    def finish(self) -> None:
        """Tidy up behind a good end; what the device says to it does not matter (ESCL-031)."""
        has_ended = not (self._has_feeder and self._has_more)
        if self.path and not (has_ended and DeviceQuirk.NO_DELETE in self.scanner.quirks):
            with contextlib.suppress(ScannerError), EsclSession(self.scanner) as session:
                session.delete_job(self.path, DELETE_SECONDS)

    def join(self, seconds: float) -> None:
        """Wait until the device has answered the DELETE of `stop`, at most so long."""
        if self._deleting is not None:
            self._deleting.join(seconds)

    # --- one page ------------------------------------------------------------------------------------------------

    def _next(self, job: SourceJob) -> bool:
        """Bring the next page; return False if there is none. Asks again while the device is not ready."""
        quirks = self.scanner.quirks
        for _ in range(TRIES * 3 if DeviceQuirk.OFTEN_BUSY in quirks else TRIES):
            began = time.monotonic()
            with self._session.client.page(f"{self.path}/NextDocument") as stream:
                if stream.status == 200:
                    self._store(job, stream)
                    self.pages += 1
                    if DeviceQuirk.PAUSE_BETWEEN_PAGES in quirks and self._has_feeder:
                        self._session.wait(min((time.monotonic() - began) / 2, _LONGEST_PAUSE))
                    return True
                status, pause = stream.status, retry_after(stream.headers)
            may_come = status == 503 or (status in (404, 410) and DeviceQuirk.NOT_READY_IS_404 in quirks)
            if not may_come:
                self._check_no_page(status)
                return False
            if self._has_ended(self._session.status(), status):
                return False
            self._session.wait(pause)
        raise DeviceBusy(f"the device was not ready with page {self.pages + 1}, however often it was asked")

    def _store(self, job: SourceJob, stream: PageStream) -> None:
        self._check_own(stream.headers.get("content-location", ""))
        digest = hashlib.sha256()
        with job.page() as page:
            for piece in stream.pieces:
                if not page.size and xml.is_markup(piece):  # whatever media type it names (ESCL-033)
                    raise DeviceRefused(f"the device sent a web page where a page was expected: {xml.quoted(piece)}")
                page.write(piece)
                digest.update(piece)
                if page.size > self._limits.bytes:
                    raise DeviceRefused(f"a page of the device has more than {self._limits.bytes} bytes")
            if not page.size:
                raise PageLost("the device sent a page without a byte")
            page.whole = stream.ends_itself
        if digest.digest() == self._last_page:  # blank sides of one bit may be so: it counts all the same
            self.scanner.report(f"page {self.pages + 1} of the device has the bytes of the page before it")
        self._last_page = digest.digest()

    def _check_own(self, location: str) -> None:
        """Raise if the device names another job as that of the page; most name none."""
        _, names_job, behind = location.partition(_JOBS)
        own = self.path.partition(_JOBS)[2].partition("/")[0]
        if names_job and own and behind.partition("/")[0] != own:
            raise DeviceRefused(f"the device sent a page of another job: {location[:80]!r}")

    # --- the end -------------------------------------------------------------------------------------------------

    def _has_ended(self, status: DeviceStatus, answered: int) -> bool:
        """Return whether a device that has no page ready has ended its job; raise if it cannot go on."""
        self._check_feeder(status)
        found = self._info(status)
        if found is not None and found.is_failed:
            raise DeviceRefused(f"the device ended the scan: {found.words}")
        if answered == 503:
            return False
        return found is not None and found.is_completed

    def _check_no_page(self, answered: int) -> None:
        """Return if the answer to NextDocument may be a good end; raise what it means otherwise."""
        if answered == 410:
            raise CancelledAtDevice("the scan was cancelled at the device")
        if answered == 404:
            return
        status = self._session.status()
        self._check_feeder(status)
        found = self._info(status)
        if answered == 409 and self._has_feeder:
            if (found is not None and found.is_completed) or self._is_feeder_empty(status):
                return
            raise DeviceRefused(f"the device has no page (409), and its feeder is {status.feeder or 'in no state'}")
        state = f"; its job is {found.words}" if found is not None else ""
        raise DeviceRefused(f"the device answered NextDocument with {answered}{state}")

    def _check_end(self, status: DeviceStatus, *, limited: bool = False) -> None:
        """Return if the scan has ended well (ESCL-030); *limited* says that the device may have more pages."""
        for _ in range(_LOOKS):
            self._check_feeder(status, at_the_end=True)
            found = self._info(status)
            if found is not None and found.is_failed:
                raise DeviceRefused(f"the device ended the scan: {found.words}")
            is_completed = found is not None and found.is_completed
            if self.pages and (is_completed or limited or self._is_feeder_empty(status)):
                return
            if is_completed:
                break
            self._session.wait(_LOOK_PAUSE)
            status = self._session.status()
        if self.pages:
            raise DeviceRefused(f"the device ended the scan after {self.pages} pages with paper in its feeder")
        if self._has_feeder and self._is_feeder_empty(status):
            raise FeederFault("the feeder is empty")
        raise DeviceRefused("the device ended the scan without a page")

    def _check_feeder(self, status: DeviceStatus, *, at_the_end: bool = False) -> None:
        if not self._has_feeder:
            return
        if DeviceQuirk.JAM_IS_EMPTY in self.scanner.quirks and status.feeder == "ScannerAdfJam":
            return
        found = self._find(status)
        if at_the_end and found is not None and found.is_completed:
            return
        if status.feeder_fault:
            raise FeederFault(f"{status.feeder_fault} ({status.feeder})")

    def _is_feeder_empty(self, status: DeviceStatus) -> bool:
        """Return whether there is no more paper, or no feeder; also if the device does not say."""
        if not self._has_feeder or not status.feeder or status.feeder in EMPTY:
            return True
        return DeviceQuirk.JAM_IS_EMPTY in self.scanner.quirks and status.feeder == "ScannerAdfJam"

    def _check_cancelled(self) -> None:
        """Raise `CancelledAtDevice` if that is why something went wrong: some devices close the connection for it."""
        with contextlib.suppress(ScannerAway, DeviceRefused, DeviceBusy, ScanBrokenOff):
            self._info(self._session.status())

    def _check_could_begin(self) -> None:
        """Raise `FeederFault` if the feeder is why a scan did not begin."""
        with contextlib.suppress(DeviceRefused, DeviceBusy):
            status = self._session.status()
            self._check_feeder(status)
            if self._has_feeder and status.feeder in EMPTY:
                raise FeederFault("the feeder is empty")

    def _info(self, status: DeviceStatus) -> DeviceJobInfo | None:
        """Return our job in the list; raise `CancelledAtDevice` if it was cancelled there (ESCL-041)."""
        found = self._find(status)
        if found is not None and found.is_cancelled:
            raise CancelledAtDevice(f"the scan was cancelled at the device: {found.words}")
        return found

    def _find(self, status: DeviceStatus) -> DeviceJobInfo | None:
        return status.job(self.path)

    # --- the cancel ----------------------------------------------------------------------------------------------

    def _delete_beside(self) -> None:
        """Send DELETE in a thread and on a connection of its own."""
        self._deleting = threading.Thread(target=self._delete, name="escl-delete", daemon=True)
        self._deleting.start()

    def _delete(self) -> None:
        outcome: DeleteOutcome = "away"
        with contextlib.suppress(DeviceRefused, ScannerAway), EsclSession(self.scanner) as session:
            status = session.delete_job(self.path, DELETE_SECONDS)
            outcome = "stopped" if 200 <= status < 300 or status in (404, 410) else "refused"
        self._on_deleted(outcome)
