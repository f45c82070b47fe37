"""One subscription at one device: the one for presses, with the destinations, or the one for the events of jobs.

A subscription is stored before it is sent, so that its events are known, and again with what the device granted before
it counts. Source: ws-scan.md section 4; WSS-010 to WSS-016.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import urlsplit

from postscan.soap.wsscan.devices.device_state import DeviceState
from postscan.soap.wsscan.devices.parts import InletParts
from postscan.soap.wsscan.event_sink import EventReceiver, SinkUnavailable
from postscan.soap.wsscan.faults import TEMPORARY, DeviceFault, InvalidAnswer
from postscan.soap.wsscan.subscriptions.calls import SubscriptionCalls
from postscan.soap.wsscan.subscriptions.record import StoredSubscription, new_subscription

FIRST_SECONDS: Final = 300.0
"""Lifetime that the first Subscribe asks for: if its answer is lost, the device forgets the subscription so soon."""

RENEW_AT: Final = 0.4
"""Share of the lifetime after which it is renewed; WSS-015 demands less than a half."""

_AGAIN: Final = (TEMPORARY, "ServerErrorInternalError", "ServerErrorNotAcceptingJobs")
"""Faults that say nothing about the subscription."""


class Subscriber:
    """Keeps the subscription of one kind. All methods raise `CallError`, `OSError` or `SinkUnavailable`."""

    def __init__(
        self,
        parts: InletParts,
        state: DeviceState,
        kind: Literal["scans", "jobs"],
        actions: Sequence[str],
        calls: SubscriptionCalls,
        receiver: EventReceiver,
    ) -> None:
        self.renew_at = 0.0
        """When it has to be renewed, on `time.monotonic()`; for one of the process before, at once."""
        self._parts = parts
        self._state = state
        self._kind = kind
        self._actions = actions
        self._calls = calls
        self._receiver = receiver
        self._is_renewable = True

    @property
    def subscription(self) -> StoredSubscription | None:
        """The stored subscription, which the device need not have answered."""
        record = self._state.record
        if record is None:
            return None
        return record.scans if self._kind == "scans" else record.jobs

    @property
    def is_granted(self) -> bool:
        """Whether the device has granted it."""
        return self.subscription is not None and bool(self.subscription.manager)

    def fits(self, host: str, offered: tuple[tuple[str, str], ...]) -> bool:
        """Return whether the stored one offers this, and its events can arrive at the same URL; then they do."""
        found = self.subscription
        if found is None or found.offered != offered:
            return False
        self._parts.sink.add(found.path, self._receiver)  # first, since events may come as soon as anything listens
        there = urlsplit(found.notify_to)
        try:
            origin = self._parts.event_origin(host, there.port or 0)
        except SinkUnavailable:
            origin = ""
        if found.notify_to == f"{origin}{there.path}":
            return True
        self._parts.sink.remove(found.path)
        return False

    def subscribe(self, host: str, service: str, offered: tuple[tuple[str, str], ...]) -> None:
        """Subscribe; an attempt without an answer is repeated as it was, so that its events have one path."""
        seconds = self._parts.settings.subscription_seconds
        if self._is_renewable:
            seconds = min(seconds, FIRST_SECONDS)
        asked = self.subscription
        if asked is None or asked.manager or not self.fits(host, offered):
            self._drop_path()
            asked = new_subscription(self._parts.event_origin(host), offered)
            self._state.set_subscription(self._kind, asked)
            self._parts.sink.add(asked.path, self._receiver)
        granted = self._calls.subscribe(service, asked, self._actions, seconds)
        try:
            self._state.set_subscription(self._kind, granted)
        except OSError:
            self._calls.unsubscribe(granted)  # it must not be relied on, and would be forgotten
            raise
        self._plan(granted)

    def renew(self) -> bool:
        """Renew it; return False if the device answers that it cannot be renewed."""
        found = self.subscription
        if found is None:
            return False
        try:
            renewed = self._calls.renew(found, self._parts.settings.subscription_seconds)
        except DeviceFault as fault:
            if fault.named(*_AGAIN) and time.time() < found.until:
                raise
            self._is_renewable = False
            return False
        except InvalidAnswer:
            if time.time() < found.until:
                raise
            return False
        self._is_renewable = True
        self._state.set_subscription(self._kind, renewed)
        self._plan(renewed)
        return True

    def end(self, seconds: float = 5.0) -> None:
        """Unsubscribe, unless it is over already, and forget it; a fault means that the device does not know it."""
        found = self.subscription
        if found is not None and found.manager and time.time() < found.until:
            try:
                self._calls.unsubscribe(found, seconds)
            except DeviceFault:
                pass
            except InvalidAnswer:
                pass  # it has answered, and nothing more can be done
        self.forget()

    def forget(self) -> None:
        """Forget it: the device has ended it."""
        self._drop_path()
        if self.subscription is not None:
            self._state.set_subscription(self._kind, None)

    def _drop_path(self) -> None:
        if self.subscription is not None:
            self._parts.sink.remove(self.subscription.path)

    def _plan(self, subscription: StoredSubscription) -> None:
        self.renew_at = time.monotonic() + RENEW_AT * max(0.0, subscription.until - time.time())
