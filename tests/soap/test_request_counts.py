"""Requests by service, operation and fault: each is counted once, and no client makes a series."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from served_metrics import Series, series, value

from postscan.soap.request_counts import DEVICE, RequestCounts
from postscan.soap.services import operations


def counted(counts: RequestCounts) -> Series:
    """Return what is served."""
    registry = CollectorRegistry()
    registry.register(counts)
    return series(generate_latest(registry).decode())


def test_each_operation_has_a_series_before_its_first_request() -> None:
    """Without it, the first request would be no increase."""
    found = counted(RequestCounts())
    names = {dict(labels)["operation"] for name, labels in found if name == "postscan_requests_total"}

    assert {action.rpartition("/")[2] for action in (*operations.PROCESSING, *operations.CONFIGURATION)} <= names
    assert {"Get", "GetMetadata", "Subscribe", "Renew", "GetStatus", "Unsubscribe", "Probe"} <= names
    assert value(found, "postscan_requests_total", service="device", operation="Probe", fault="none") == 0


def test_actions_of_clients_make_no_series() -> None:
    """Whatever they send; also an operation that another service has."""
    counts = RequestCounts()
    before = counted(counts)
    probe = next(action for action in operations.CONFIGURATION if action.endswith("GetJobHistory"))
    for action in ("", "urn:x:1", "urn:x:2", probe):
        counts.count("processing", action, "wsa:ActionNotSupported")
    counts.count(DEVICE, "urn:x:3", "HTTP 413")
    after = counted(counts)

    labels = {"service": "processing", "operation": "other", "fault": "wsa:ActionNotSupported"}
    assert value(after, "postscan_requests_total", **labels) == 4
    assert len(after) == len(before) + 2
