"""The contract of sources, with a device whose feeder is looked into: processes are killed and refused at each step."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from escl_device import EsclDevice, Exchange

from postscan.plugins.sources.escl import Escl
from postscan.plugins.testing import Origin, assert_source_contract

CUTS = 12
"""The campaign cuts at 200 bytes."""

LOOK = 0.3
"""Seconds for which a person looks at the panel before the paper is put in again."""


class Feeder(Origin):
    """Puts a sheet into the feeder of a device, and again if the device was not told that its job is stored.

    The device counts a scan as taken when it was asked for another page, had none, and its job was then deleted: each
    GET behind a page says that the page is stored, and the DELETE behind the last one that the job is.
    """

    def __init__(self, device: EsclDevice, *, cancels: bool = False) -> None:
        self._device = device
        self._page = b""
        self._cut: int | None = None
        self._cancels = cancels
        self._first = 0
        self._asked_on: set[int] = set()
        device.feeder = "ScannerAdfEmpty"
        device.on("NextDocument", self._next, always=True)

    def bring(self, page: bytes) -> None:
        """Load a sheet."""
        self._load(page, None)

    def cut(self, page: bytes, size: int) -> None:
        """Load a sheet at which the device breaks off, and wait until it has."""
        self._load(page, size)
        until = time.monotonic() + 10
        while self._cut is not None and time.monotonic() < until:
            time.sleep(0.01)

    def again(self) -> None:
        """Look for a moment whether the device has been told, as a restarted source does; then load the sheet again."""
        if self._device.feeder == "ScannerAdfLoaded":
            return
        until = time.monotonic() + LOOK
        while time.monotonic() < until:
            if self.acknowledged():
                return
            time.sleep(0.01)
        self._device.load(self._page)

    def acknowledged(self) -> bool:
        """Return whether a job of the last sheet was asked for another page, and deleted then."""
        with self._device.lock:
            jobs = self._device.jobs[self._first :]
            return any(one.deleted and one.number in self._asked_on for one in jobs)

    def cancel(self, page: bytes) -> None:
        """Load a sheet, and press Cancel while it is scanned."""
        self._cancels = True
        self._load(page, None)
        until = time.monotonic() + 10
        while self._cancels and time.monotonic() < until:
            time.sleep(0.01)

    def _load(self, page: bytes, cut: int | None) -> None:
        with self._device.lock:
            self._page, self._cut, self._first = page, cut, len(self._device.jobs)
            self._device.load(page)

    def _next(self, exchange: Exchange) -> None:
        device = exchange.device
        job = device._job(exchange.request.path.rpartition("/")[0])
        if job is not None and job.left and (self._cut is not None or self._cancels):
            size = self._cut or 0
            page = job.left.popleft()
            device.feeder = "ScannerAdfEmpty"
            if self._cancels:
                job.state, job.reasons = "Canceled", ("JobCanceledAtDevice",)
                exchange.answer(410)
            else:
                exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(page))
                exchange.raw(page[:size])
                exchange.cut()
            self._cut, self._cancels = None, False
            return
        if job is not None and not job.left:
            self._asked_on.add(job.number)
        device.next(exchange)


@pytest.mark.conformance("ESCL-020", "ESCL-028", "ESCL-029")
def test_the_contract_is_kept(tmp_path: Path) -> None:
    """By a source that takes what is put into the feeder."""
    with EsclDevice() as device:
        settings = {"device": device.url, "interval": 0.05, "connect_seconds": 2.0}
        assert_source_contract(Escl(), Feeder(device), settings=settings, cuts=CUTS, seconds=60.0)
