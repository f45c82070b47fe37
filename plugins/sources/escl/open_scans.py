"""The scans of one inlet that run now: at most one for each device, and ended with the process."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from postscan.plugins.sources.escl.pages import DeviceScan


class OpenScans:
    """Scans that are open, for several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: set[DeviceScan] = set()
        self._devices: set[str] = set()
        self._ended: list[DeviceScan] = []
        self._closed = False

    @contextlib.contextmanager
    def device(self, id: str, seconds: float = 5.0) -> Iterator[bool]:
        """Take a device for the body; yield False if another one has it for *seconds*, or if the process ends."""
        with self._changed:
            self._changed.wait_for(lambda: id not in self._devices or self._closed, seconds)
            free = id not in self._devices and not self._closed
            if free:
                self._devices.add(id)
        try:
            yield free
        finally:
            if free:
                with self._changed:
                    self._devices.discard(id)
                    self._changed.notify_all()

    def is_used(self, id: str) -> bool:
        """Return whether a scan of this device is running."""
        with self._changed:
            return id in self._devices

    @contextlib.contextmanager
    def running(self, scan: DeviceScan) -> Iterator[None]:
        """Let `close` end this scan while the body runs."""
        with self._changed:
            self._open.add(scan)
            closed = self._closed
        if closed:
            scan.stop()
        try:
            yield
        finally:
            with self._changed:
                self._open.discard(scan)
                self._ended = [*self._ended[-7:], scan]
                self._changed.notify_all()

    def close(self, seconds: float, leeway: float = 1.0) -> None:
        """Begin no more scans, let the open ones end within *seconds*, and break off what is left.

        Then wait at most *leeway* seconds more, for their jobs to fail and for devices to answer.
        """
        until = time.monotonic() + seconds
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._devices, seconds)
            left = list(self._open)
        for scan in left:
            scan.stop()
        until = max(until, time.monotonic()) + leeway if left else time.monotonic() + leeway
        with self._changed:
            self._changed.wait_for(lambda: not self._devices, max(0.0, until - time.monotonic()))
            ended = [*left, *self._ended]
        for scan in ended:
            scan.join(max(0.0, until - time.monotonic()))
