"""Which images retention may remove, on each kind of database."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from postscan.core.model.job import Job, JobDocument
from postscan.core.model.states import JobReason
from postscan.core.store import retention
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME


@pytest.fixture
def put(store: Store, job: Callable[..., Job]) -> Callable[..., str]:
    """Store a job with images of some sizes, and end it at a tick."""

    def insert(token: str, ended: float, *sizes: int, reason: JobReason = JobReason.SUCCEEDED) -> str:
        made = job(token=token)
        for id, size in enumerate(sizes, 1):
            made.receive(JobDocument(id, "png", size, "0" * 64, f"{token}/{id}"), EXAMPLE_TIME)
        if reason is JobReason.TIMED_OUT:
            made.expire(EXAMPLE_TIME)
        elif reason is JobReason.CANCELED:
            made.cancel(EXAMPLE_TIME)
        else:
            made.fail(reason, EXAMPLE_TIME)
        store.insert(made)
        store.record_ended(ended)
        return token

    return insert


def test_each_kind_is_listed_by_its_end_in_any_number_of_pages(
    store: Store, put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-Q4: with its bytes; jobs that end in the same moment as well, and none twice."""
    monkeypatch.setattr(retention, "PAGE", 2)
    for number, ended in enumerate((30.0, 10.0, 10.0, 10.0, 20.0)):
        put(f"canceled-{number}", ended, 100, number, reason=JobReason.CANCELED)
    put("silent", 5.0, 1000, reason=JobReason.TIMED_OUT)
    put("failed", 5.0, 1000, reason=JobReason.PROCESSING_FAILED)

    assert [(one.token, one.ended, one.size) for one in store.disposable()] == [
        ("canceled-1", 10.0, 101),
        ("canceled-2", 10.0, 102),
        ("canceled-3", 10.0, 103),
        ("canceled-4", 20.0, 104),
        ("canceled-0", 30.0, 100),
    ]
    assert [one.token for one in store.disposable(20.0)] == ["canceled-1", "canceled-2", "canceled-3"]
    assert [one.token for one in store.disposable(math.nextafter(20.0, math.inf))][-1] == "canceled-4"
    assert [one.token for one in store.disposable(timed_out=True)] == ["silent"]
    assert store.disposable_bytes() == 510


def test_old_jobs_without_images_are_deleted_and_failed_ones_with_images_are_not(
    store: Store, put: Callable[..., str]
) -> None:
    """D15, T-Q4: whether they were removed or never came."""
    put("failed", 1.0, 1000, reason=JobReason.PROCESSING_FAILED)
    put("empty", 1.0, reason=JobReason.TIMED_OUT)
    put("removed", 1.0, 1000, reason=JobReason.CANCELED)
    store.record_images_removed("removed")
    put("young", 2.0, reason=JobReason.TIMED_OUT)

    assert store.drop_jobs(2.0, keep=0) == 2
    assert {job.token for job in store.ended_jobs()} == {"failed", "young"}
