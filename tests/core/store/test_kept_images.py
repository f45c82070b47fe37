"""Which images retention may remove, on each kind of database."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from conftest import ANNA

from postscan.core.errors import WrongState
from postscan.core.model.job import Job, JobDocument
from postscan.core.model.states import FilterVerb, JobReason
from postscan.core.store.database import pages
from postscan.core.store.schema import USAGE
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
    monkeypatch.setattr(pages, "PAGE", 2)
    for number, ended in enumerate((30.0, 10.0, 10.0, 10.0, 20.0)):
        put(f"canceled-{number}", ended, 100, number, reason=JobReason.CANCELED)
    put("silent", 5.0, 1000, reason=JobReason.TIMED_OUT)
    put("half", 6.0, 1000, reason=JobReason.SEND_IMAGE_FAILED)
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
    assert [one.token for one in store.disposable(unfinished=True)] == ["silent", "half"]
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

    assert set(store.drop_jobs(2.0, keep=0)) == {"empty", "removed"}
    assert {job.token for job in store.ended_jobs()} == {"failed", "young"}


def test_jobs_that_ended_in_the_same_tick_are_dropped_one_by_one(store: Store, put: Callable[..., str]) -> None:
    """D15: of those that a sweep found at once, as many stay as the settings say."""
    for number in range(5):
        put(f"empty-{number}", 1.0, reason=JobReason.TIMED_OUT)
    put("kept", 1.0, 10, reason=JobReason.PROCESSING_FAILED)

    assert not store.drop_jobs(2.0, keep=6)
    assert store.drop_jobs(2.0, keep=3)
    assert not store.drop_jobs(2.0, keep=3)

    left = {job.token for job in store.ended_jobs()}
    assert "kept" in left
    assert len(left) in (3, 4)  # the one with an image may be one of the newest


def test_the_bytes_of_an_owner_follow_every_change(store: Store, job: Callable[..., Job]) -> None:
    """I5: images until they are removed, what filters made until the end; what may be removed, from the end on."""
    seen = []

    def look() -> None:
        seen.append((store.spooled_bytes(ANNA.name), store.disposable_bytes()))
        assert store.recount() == []

    made = job("urn:acme:one", "urn:acme:two", token="job")
    image, first, second = (JobDocument(id, "png", size, "0" * 64, f"job/{id}") for id, size in enumerate((10, 7, 5)))
    store.insert(made)
    look()
    with store.change("job") as changed:
        changed.receive(image, EXAMPLE_TIME)
    look()
    with store.change("job") as changed:
        changed.end(EXAMPLE_TIME)
        changed.claim(EXAMPLE_TIME)
        changed.start(0, EXAMPLE_TIME)
        changed.report(0, FilterVerb.SUCCEED, EXAMPLE_TIME, documents=(image, first))
    look()
    with store.change("job") as changed:
        changed.start(1, EXAMPLE_TIME)
        changed.report(1, FilterVerb.SUCCEED, EXAMPLE_TIME, documents=(first, second))
    look()
    with store.change("job") as changed:
        changed.finish(EXAMPLE_TIME)
    look()
    store.record_images_removed("job")
    look()
    store.record_images_removed("job")
    look()

    assert seen == [(0, 0), (10, 0), (17, 0), (22, 0), (10, 10), (0, 0), (0, 0)]
    assert list(store.usages()) == []


def test_a_released_job_takes_its_bytes_over(store: Store, put: Callable[..., str], job: Callable[..., Job]) -> None:
    """I5: images of a job that timed out count once, for its owner."""
    put("silent", 1.0, 10, 20, reason=JobReason.TIMED_OUT)
    again = job(token="again")
    for id, size in ((1, 10), (2, 20)):
        again.receive(JobDocument(id, "png", size, "0" * 64, f"again/{id}"), EXAMPLE_TIME)

    store.insert(again, images_from="silent")

    assert store.recount() == []
    assert list(store.usages()) == [(ANNA.name, 30, 0)]
    with pytest.raises(WrongState):
        store.insert(job(token="third"), images_from="silent")
    assert store.spooled_bytes(ANNA.name) == 30


def test_wrong_sums_are_found_and_corrected(store: Store, put: Callable[..., str]) -> None:
    """After a manual change of the database, for example."""
    put("canceled", 1.0, 10, reason=JobReason.CANCELED)
    with store.writing() as db:
        db.execute(sa.update(USAGE).values(kept_bytes=11))
        db.execute(sa.insert(USAGE), {"owner": "device:gone", "kept_bytes": 1, "disposable_bytes": 0})

    assert store.recount() == [ANNA.name, "device:gone"]
    assert store.recount() == []
    assert list(store.usages()) == [(ANNA.name, 10, 10)]
    assert store.disposable_bytes() == 10


def test_a_list_of_ended_jobs_is_read_in_pages(
    store: Store, put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job is in it once, also if several ended in the same moment."""
    monkeypatch.setattr(pages, "PAGE", 2)
    tokens = {put(f"job-{number}", 1.0, reason=JobReason.CANCELED) for number in range(5)}

    assert [job.token for job in store.ended_jobs()] == sorted(tokens, reverse=True)
    assert [job.token for job in store.ended_jobs(limit=3)] == ["job-4", "job-3", "job-2"]
    assert store.ended_jobs("device:192.0.2.99") == []
