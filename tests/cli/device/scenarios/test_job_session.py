"""A job session follows its job by events or by polling, and cancels it when that is due."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hosted import TOKEN, Hosted, end_event, hosting

from postscan.cli.device.client import Device
from postscan.cli.device.eventing.event_listener import EventListener
from postscan.cli.device.eventing.subscription import DeviceSubscription
from postscan.cli.device.scenarios.job_session import JobSession, Page, ScanJob, Stop
from postscan.cli.device.scenarios.progress_log import ProgressLog
from postscan.cli.device.transport import HttpTransport


@pytest.fixture
def host() -> Iterator[Hosted]:
    """A server that sends the end-state event when the job is cancelled."""
    with hosting() as host:
        host.telling(end_event("Canceled"), at="CancelPostScanJob")
        yield host


def job(page: Path, pages: int) -> ScanJob:
    """Return a job that sends one file several times."""
    return ScanJob([Page(number, page, "png", page.stat().st_size) for number in range(1, pages + 1)], "7B0E", "<a/>")


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (Stop(seconds=0.1), ["SendImage", "SendImage", "EndPostScanJob", "CancelPostScanJob"]),
        (Stop(images=1), ["SendImage", "CancelPostScanJob"]),
    ],
)
def test_a_session_with_events_cancels_when_that_is_due(
    host: Hosted, page: Path, stop: Stop, expected: list[str]
) -> None:
    """It does not wait for an event first."""
    with (
        HttpTransport() as transport,
        EventListener("127.0.0.1") as listener,
        DeviceSubscription(transport, host.url, listener, 60) as subscription,
        Device(host.url, "S-1-5-21-1", transport=transport) as device,
    ):
        session = JobSession(device, job(page, 2), ProgressLog(None), stop)
        ended = session.run(subscription)

    assert ended.state == "Canceled"
    assert session.token == TOKEN
    assert host.operations(without=("Unsubscribe", "GetPostScanJobElements")) == [
        "Subscribe",
        "CreatePostScanJob",
        *expected,
    ]
