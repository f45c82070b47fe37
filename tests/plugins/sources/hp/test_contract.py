"""The contract of sources, with a person at the panel of a device: processes are killed and refused at each step."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from escl_device import Exchange
from hp_device import HpDevice
from hp_inlet import HOST

from postscan.plugins.sources.hp import HpWalkup
from postscan.plugins.testing import Origin, assert_source_contract

CUTS = 8
"""A campaign of the eSCL source cuts at 200 bytes."""

PATIENCE = 5.0
LOOK = 0.5
"""Seconds that a person waits for a name at the panel, and looks at the panel before pressing again."""


class Person(Origin):
    """Puts a sheet into the feeder and presses; does so again if the device was not told that the job is stored.

    The device counts a scan as taken when it was asked for another page, had none, and its job was then deleted.
    """

    def __init__(self, device: HpDevice) -> None:
        self._device = device
        self._page = b""
        self._cut: int | None = None
        self._cancels = False
        self._first = 0
        self._asked_on: set[int] = set()
        device.on("NextDocument", self._next, always=True)

    def bring(self, page: bytes) -> None:
        """Press."""
        self._press(page)

    def cut(self, page: bytes, size: int) -> None:
        """Press at a device that breaks off in the page, and wait until it has."""
        self._cut = size
        self._press(page)
        _wait(lambda: self._cut is None)

    def again(self) -> None:
        """Look whether the device has been told, as a source does that is started again; else press again."""
        if not _wait(self.acknowledged, LOOK) and not self._is_scanning():
            self._press(self._page, is_new=False)

    def acknowledged(self) -> bool:
        """Return whether a job of the last press was asked for another page, and deleted then."""
        with self._device.lock:
            jobs = self._device.jobs[self._first :]
            return any(one.deleted and one.number in self._asked_on for one in jobs)

    def cancel(self, page: bytes) -> None:
        """Press, and cancel at the panel while the page is scanned."""
        self._cancels = True
        self._press(page)
        _wait(lambda: not self._cancels)

    def _is_scanning(self) -> bool:
        with self._device.lock:
            return any(one.state == "Processing" and not one.deleted for one in self._device.jobs[-1:]) and bool(
                self._device.waiting == 0
            )

    def _press(self, page: bytes, *, is_new: bool = True) -> None:
        device = self._device
        if not _wait(lambda: device.waiting and "Scans" in device.names):
            return
        with device.changed:
            if is_new:
                self._first = len(device.jobs)
            self._page = page
            device.load(page)
            device.pressed = next(iter(device.registered))
            device.ask("ScanRequested")

    def _next(self, exchange: Exchange) -> None:
        device = exchange.device
        job = device._job(exchange.request.path.rpartition("/")[0])
        if job is None or not job.left:
            if job is not None:
                self._asked_on.add(job.number)
            device.next(exchange)
            return
        if self._cut is None and not self._cancels:
            device.next(exchange)
            return
        page = job.left.popleft()
        device.feeder = "ScannerAdfEmpty"
        if self._cancels:
            job.state, job.reasons = "Canceled", ("JobCanceledAtDevice",)
            exchange.answer(410)
        else:
            exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(page))
            exchange.raw(page[: self._cut])
            exchange.cut()
        self._cut, self._cancels = None, False


def _wait(true: Callable[[], object], seconds: float = PATIENCE) -> bool:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.conformance("ESCL-053")
def test_the_contract_is_kept(tmp_path: Path) -> None:
    """By a source at the panel of a device that takes one sheet for each press."""
    with HpDevice([]) as device:
        device.several_sheets = False
        settings = {"device": device.url, "hostname": HOST, "wait_seconds": 1.0, "connect_seconds": 2.0}
        assert_source_contract(HpWalkup(), Person(device), settings=settings, cuts=CUTS, seconds=60.0)
