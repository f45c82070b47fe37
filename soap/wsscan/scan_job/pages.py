"""Fetch image after image of one job until the rules of its end. Source: ws-scan.md section 6; WSS-041 to WSS-050."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Final

from postscan.plugins import Ended, PageWriter, SourceJob
from postscan.soap.wsscan.client import ScannerClient
from postscan.soap.wsscan.faults import (
    JOB_CANCELLED,
    NO_IMAGES,
    NO_SUCH_JOB,
    TEMPORARY,
    DeviceFault,
)
from postscan.soap.wsscan.messages.configuration import PLATEN, DocumentParameters
from postscan.soap.wsscan.messages.jobs import CreatedJob, write_retrieve_image
from postscan.soap.wsscan.messages.names import RETRIEVE_IMAGE
from postscan.soap.wsscan.model import Scanner
from postscan.soap.wsscan.scan_job import quirks
from postscan.soap.wsscan.scan_job.cancel import DeviceCancel
from postscan.soap.wsscan.scan_job.creation import CANCELLED_THERE, NO_PAPER
from postscan.soap.wsscan.scan_job.limits import ScanJobLimits
from postscan.soap.wsscan.scan_job.mtom import read_image_bytes
from postscan.soap.wsscan.scan_job.outcome import ScanCancelled, ScanFailed

_MULTI_PAGE: Final = ("tiff-multi", "pdf-a", "xps")
_KEYWORD: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class JobPages:
    """The images of one job of the device. *pause* waits for so many seconds, and raises if the scan has to end."""

    def __init__(
        self,
        client: ScannerClient,
        scanner: Scanner,
        device_job: CreatedJob,
        sent: DocumentParameters,
        cancel: DeviceCancel,
        limits: ScanJobLimits,
        pause: Callable[[float], None],
    ) -> None:
        final = device_job.parameters
        self._client = client
        self._scanner = scanner
        self._device_job = device_job
        self._cancel = cancel
        self._limits = limits
        self._pause = pause
        self._source = final.input_source or sent.input_source
        self._images = (sent.images if final.images is None else final.images) or limits.most_images
        self._format = final.format if _KEYWORD.fullmatch(final.format) else sent.format
        self._last = b""
        self.number = 0
        self.repeated: list[int] = []

    def fetch(self, job: SourceJob) -> int:
        """Store all pages in *job* and return their number; `repeated` has those with the bytes of the one before.

        A repeated image is a page all the same: two blank sides may be equal to the byte, and a page more can be seen,
        a page less cannot. Raises `ScanCancelled` for a cancel at the device and if there is no paper, `ScanFailed`,
        `DeviceAway`, and what the block of a page raises.
        """
        while not self._is_last():
            try:
                self._page(job)
            except DeviceFault as fault:
                if self._ends(fault):
                    break
                raise ScanFailed(str(fault)) from fault
        return self.number

    def _is_last(self) -> bool:
        if self.number >= self._limits.most_images:
            raise ScanFailed(f"the scanner sent more than {self._limits.most_images} images")
        return self.number >= (1 if self._source == PLATEN else self._images)

    def _ends(self, fault: DeviceFault) -> bool:
        """Return whether a fault is the end of the pages."""
        if fault.named(JOB_CANCELLED):
            self._cancel.over()
            raise ScanCancelled(CANCELLED_THERE) from fault
        gone = fault.named(NO_SUCH_JOB)
        if gone:
            self._cancel.over()
        if fault.named(NO_IMAGES) or (gone and self._may_be_gone()):
            if not self.number:
                raise ScanCancelled(NO_PAPER) from fault
            return True
        return False

    def _may_be_gone(self) -> bool:
        """Return whether the device may have forgotten a job whose images it has sent."""
        multi_page = self._format.startswith(_MULTI_PAGE)
        return self.number > 0 and (multi_page or quirks.BROKEN_ZERO in self._scanner.quirks)

    def _page(self, job: SourceJob) -> None:
        """Store the next image; ask again after a temporary error."""
        for _ in range(self._limits.temporary_tries):
            try:
                return self._fetch_one(job)
            except DeviceFault as fault:
                if not fault.named(TEMPORARY):
                    raise
            self._pause(self._limits.warm_up_pause)
        return self._fetch_one(job)

    def _fetch_one(self, job: SourceJob) -> None:
        hashed = hashlib.sha256()
        body = write_retrieve_image(self._device_job, self.number + 1)
        with job.page(self._format) as page:
            with self._client.stream(
                self._scanner.service,
                RETRIEVE_IMAGE,
                body,
                head_seconds=self._limits.head_seconds,
                idle_seconds=self._limits.idle_seconds,
            ) as answer:
                for piece in read_image_bytes(answer.content_type, answer.pieces(), answer.message_id):
                    self._write(page, piece)
                    hashed.update(piece)
            page.whole = True
        self.number += 1
        if hashed.digest() == self._last:
            self.repeated.append(self.number)
        self._last = hashed.digest()

    def _write(self, page: PageWriter, piece: bytes | memoryview) -> None:
        try:
            page.write(piece)
        except Ended:
            self._cancel.wait()
            raise
