"""Requests by service, operation and fault, for the metrics.

No label is of a kind whose number clients decide: an action that no service has is `other`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from postscan.core.model.subscription import EventService
from postscan.soap.discovery import messages as discovery_messages
from postscan.soap.eventing.subscription_manager import VERBS
from postscan.soap.metadata import transfer
from postscan.soap.services import operations

OTHER: Final = "other"
"""Operation of a request whose action is unknown, or was not read."""

NO_FAULT: Final = "none"

DEVICE: Final = "device"
"""Service of requests for the device itself."""

_SHARED: Final = {*transfer.OPERATIONS, *VERBS}
_ACTIONS: Final = {
    EventService.PROCESSING.value: {*operations.PROCESSING, *_SHARED},
    EventService.CONFIGURATION.value: {*operations.CONFIGURATION, *_SHARED},
    DEVICE: {*transfer.OPERATIONS, discovery_messages.PROBE},
}


def _name(action: str) -> str:
    """Return the name of an operation: the last part of its action, but that of GetMetadata stands before it."""
    parts = action.split("/")
    return parts[-2] if parts[-1] == "Request" else parts[-1]


_NAMES: Final = {service: {action: _name(action) for action in actions} for service, actions in _ACTIONS.items()}


class RequestCounts(Collector):
    """Counts the requests of one server; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = Counter(
            {(service, name, NO_FAULT): 0 for service, names in _NAMES.items() for name in names.values()}
        )

    def count(self, service: str, action: str, fault: str = NO_FAULT) -> None:
        """Count a request that was answered: without a fault, with one of this subcode, or with `HTTP <status>`."""
        with self._lock:
            self._numbers[service, _NAMES[service].get(action, OTHER), fault] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield the metric."""
        with self._lock:
            numbers = dict(self._numbers)
        about = "Requests of devices and administrators, by service, operation and fault."
        family = CounterMetricFamily("postscan_requests", about, labels=("service", "operation", "fault"))
        for labels, number in sorted(numbers.items()):
            family.add_metric(labels, number)
        yield family
