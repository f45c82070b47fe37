"""Ends of jobs that a device reports reach the job that runs, and no other."""

from __future__ import annotations

import pytest

from postscan.soap.wsscan.scan_job import scan_jobs
from postscan.soap.wsscan.scan_job.scan_jobs import DeviceJobEnd, ScanJobs

CANCELED = DeviceJobEnd("Canceled", ("JobCanceledAtDevice",))


def test_an_end_reaches_its_job() -> None:
    """And none that runs beside it."""
    jobs, one, other = ScanJobs(), list[DeviceJobEnd](), list[DeviceJobEnd]()
    with jobs.running(1, one.append), jobs.running(2, other.append):
        jobs.ended(1, "Canceled", ("JobCanceledAtDevice",))
        jobs.ended(3, "Canceled")

    assert (one, other) == ([CANCELED], [])


def test_an_end_that_comes_early_counts_once() -> None:
    """For the job that begins within seconds."""
    jobs, one, two = ScanJobs(), list[DeviceJobEnd](), list[DeviceJobEnd]()
    jobs.ended(1, "Canceled", ("JobCanceledAtDevice",))
    with jobs.running(1, one.append):
        pass
    with jobs.running(1, two.append):
        pass

    assert (one, two) == ([CANCELED], [])


def test_an_early_end_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its seconds."""
    monkeypatch.setattr(scan_jobs, "EARLY_SECONDS", 0.0)
    jobs, one = ScanJobs(), list[DeviceJobEnd]()
    jobs.ended(1, "Canceled")
    with jobs.running(1, one.append):
        pass

    assert one == []


def test_a_late_end_is_not_an_early_one() -> None:
    """A device gives a JobId again after a while."""
    jobs, one, two = ScanJobs(), list[DeviceJobEnd](), list[DeviceJobEnd]()
    with jobs.running(1, one.append):
        pass
    jobs.ended(1, "Canceled")
    with jobs.running(1, two.append):
        pass

    assert (one, two) == ([], [])


def test_many_ends_take_no_room() -> None:
    """A device that reports ends for ever."""
    jobs = ScanJobs()
    for number in range(1000):
        jobs.ended(number, "Aborted")
        with jobs.running(-number, lambda _end: None):
            pass

    assert max(map(len, (jobs._early, jobs._finished, jobs._running))) <= scan_jobs.MOST_EARLY


@pytest.mark.parametrize(
    ("end", "cancelled", "failed", "text"),
    [
        (
            DeviceJobEnd("Completed", ("JobCompletedSuccessfully",)),
            False,
            False,
            "Completed (JobCompletedSuccessfully)",
        ),
        (DeviceJobEnd("Completed", ("None",)), False, False, "Completed"),
        (DeviceJobEnd("Canceled"), True, True, "Canceled"),
        (DeviceJobEnd("Aborted", ("JobCanceledAtDevice",)), True, True, "Aborted (JobCanceledAtDevice)"),
        (DeviceJobEnd("Aborted", ("JobTimedOut",)), False, True, "Aborted (JobTimedOut)"),
    ],
)
def test_what_an_end_means(end: DeviceJobEnd, cancelled: bool, failed: bool, text: str) -> None:
    """Canceled and Aborted are without all images; a reason can say that a person cancelled."""
    assert (end.cancelled, end.failed, str(end)) == (cancelled, failed, text)
