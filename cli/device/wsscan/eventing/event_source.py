"""The event source of the simulated scanner: what changes becomes an event for each subscriber that wants it.

Source: ws-scan.md sections 1, 4 and 8; dpws.md section 8.3.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from lxml import etree

from postscan.cli.device.wsscan.description.status import DeviceCondition, ScannerStatus, state_of
from postscan.cli.device.wsscan.eventing import events
from postscan.cli.device.wsscan.eventing.notifier import WsdNotifier
from postscan.cli.device.wsscan.eventing.subscription_messages import subscription_end
from postscan.cli.device.wsscan.eventing.subscriptions import SubscriptionTable
from postscan.cli.device.wsscan.jobs.job_list import DeviceJob
from postscan.cli.device.wsscan.protocol.soap import WSCN, WSE, SoapWriter

END_SECONDS: Final = 2.0
"""Seconds for all SubscriptionEnd messages together: a computer that is off holds nothing up."""


class WsdEventSource:
    """Sends events of jobs and of the scanner's state to subscribers."""

    def __init__(self, writer: SoapWriter, subscriptions: SubscriptionTable, notifier: WsdNotifier) -> None:
        self._writer, self._subscriptions, self._notifier = writer, subscriptions, notifier
        self._lock = threading.Lock()
        self._state = "Idle"

    def job_changed(self, job: DeviceJob) -> None:
        """Send JobStatusEvent, and JobEndStateEvent for a job that has ended."""
        self._send("JobStatusEvent", lambda: events.job_status_event(self._writer, job))
        if job.has_ended:
            self._send("JobEndStateEvent", lambda: events.job_end_state_event(self._writer, job))

    def condition_raised(self, condition: DeviceCondition) -> None:
        """Send ScannerStatusConditionEvent."""
        self._send("ScannerStatusConditionEvent", lambda: events.condition_event(self._writer, condition))

    def condition_cleared(self, condition: DeviceCondition) -> None:
        """Send ScannerStatusConditionClearedEvent."""
        cleared = events.condition_cleared_event
        self._send("ScannerStatusConditionClearedEvent", lambda: cleared(self._writer, condition))

    def configuration_changed(self, configuration: Callable[[], etree._Element]) -> None:
        """Send ScannerElementsChangeEvent."""
        change = events.elements_change_event
        self._send("ScannerElementsChangeEvent", lambda: change(self._writer, configuration()))

    def state_may_have_changed(self, status: ScannerStatus, busy: bool) -> None:
        """Send ScannerStatusSummaryEvent if the state is another one."""
        with self._lock:
            before, self._state = self._state, state_of(status, busy)
            if before != self._state:
                summary = events.status_summary_event
                self._send("ScannerStatusSummaryEvent", lambda: summary(self._writer, status, busy))

    def end_subscriptions(self, manager: str, status: str) -> None:
        """End all subscriptions, with SubscriptionEnd to those that have an EndTo, to all at the same time."""
        threads = []
        for one in self._subscriptions.live:
            self._subscriptions.remove(one)
            if one.end_to is not None:
                content = subscription_end(self._writer, one, manager, status)
                message = self._notifier.message(one.end_to, f"{WSE}/SubscriptionEnd", content)
                threads.append(threading.Thread(target=self._notifier.post, args=(message,), daemon=True))
                threads[-1].start()
        end = time.monotonic() + END_SECONDS
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _send(self, name: str, content: Callable[[], etree._Element]) -> None:
        action = f"{WSCN}/{name}"
        for subscription in self._subscriptions.live:
            if subscription.wants(action):
                self._notifier.notify(subscription, action, content())
