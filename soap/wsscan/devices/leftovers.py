"""Subscriptions of scanners that the settings no longer have: they are ended, and forgotten.

A scanner that is away keeps its record until its subscriptions are over by themselves.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence

from postscan.plugins import Cancelled
from postscan.soap.wsscan.devices.paced_client import PacedClient
from postscan.soap.wsscan.devices.parts import InletParts
from postscan.soap.wsscan.faults import CallError, DeviceFault, InvalidAnswer
from postscan.soap.wsscan.subscriptions.calls import SubscriptionCalls
from postscan.soap.wsscan.subscriptions.record import DeviceRecord


class Leftovers:
    """Ends the subscriptions of *records*, one after another, in a thread."""

    def __init__(self, parts: InletParts, records: Sequence[DeviceRecord]) -> None:
        self._parts = parts
        self._records = records

    def start(self) -> None:
        """Begin; there is nothing to wait for."""
        if self._records:
            threading.Thread(target=self._run, name="wsscan-leftovers", daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(Cancelled):  # the source stops
            for record in self._records:
                if self._is_ended(record):
                    self._parts.store.remove(record.endpoint)

    def _is_ended(self, record: DeviceRecord) -> bool:
        """Unsubscribe; return whether the device keeps no subscription."""
        calls = SubscriptionCalls(PacedClient(self._parts.calls, record.host))
        for one in (record.scans, record.jobs):
            if one is None or not one.manager or one.until < time.time():
                continue
            try:
                calls.unsubscribe(one)
            except (DeviceFault, InvalidAnswer):
                pass  # it is not known there
            except CallError:
                return False
        self._parts.inlet.log("subscriptions of a former scanner ended", scanner=record.endpoint)
        return True
