"""Jobs, files and events that are read in several transactions: complete, in order, none twice, on each database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from conftest import ANNA, BORIS
from reads import between

from postscan.core.model.job import Job, JobDocument, JobTurn
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.records import Delivery
from postscan.core.model.snapshot import JobChange
from postscan.core.model.states import JobReason, JobState
from postscan.core.store import outbox, retention
from postscan.core.store.database import pages
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME

EVERYTHING = 1000


@pytest.fixture
def put(store: Store, job: Callable[..., Job]) -> Callable[..., str]:
    """Store an open job that was created some seconds late, and has some images."""

    def insert(token: str, seconds: int = 0, images: int = 1, owner: Principal = ANNA) -> str:
        made = job("urn:acme:copy", "urn:acme:sleep", token=token, owner=owner)
        made.created = EXAMPLE_TIME + timedelta(seconds=seconds)
        for id in range(1, images + 1):
            made.receive(JobDocument(id, "png", 10, "0" * 64, f"{token}/{id}"), EXAMPLE_TIME)
        store.insert(made)
        return token

    return insert


def cancel(store: Store, token: str) -> None:
    """Cancel a job."""
    with store.change(token) as job:
        job.cancel(EXAMPLE_TIME)


@pytest.mark.parametrize(("page", "rows"), [(1, 1), (2, 5), (3, 1), (100, 8), (100, EVERYTHING)])
def test_pages_of_any_size_have_the_same_jobs(
    store: Store, put: Callable[..., str], monkeypatch: pytest.MonkeyPatch, page: int, rows: int
) -> None:
    """Oldest first whoever owns them, with all of their rows; a job with many rows is read alone."""
    for number, owner in enumerate((BORIS, ANNA, BORIS, ANNA, ANNA)):
        put(f"job-{number}", number, images=(1, 7, 0, 2, 1)[number], owner=owner)
    for number in range(3):
        put(f"ended-{number}")
        cancel(store, f"ended-{number}")
    monkeypatch.setattr(pages, "PAGE", page)
    monkeypatch.setattr(pages, "ROWS", rows)

    found = store.open_jobs()

    assert [one.token for one in found] == [f"job-{number}" for number in range(5)]
    assert found == [store.load(one.token) for one in found]
    assert [one.token for one in store.open_jobs(ANNA.name)] == ["job-1", "job-3", "job-4"]
    assert [one.token for one in store.ended_jobs()] == ["ended-2", "ended-1", "ended-0"]
    assert [one.token for one in store.ended_jobs(ANNA.name, limit=2)] == ["ended-2", "ended-1"]
    assert store.ended_jobs(BORIS.name) == []
    assert sorted(blob.key for blob in store.open_blobs()) == sorted(
        document.blob for one in found for document in one.documents
    )
    assert sorted(store.idle(EVERYTHING)) == [f"job-{number}" for number in range(5)]


@pytest.mark.parametrize("page", [1, 2, 3, 5, 6, 100])
def test_silent_devices_are_found_whatever_page_their_jobs_are_in(
    store: Store, put: Callable[..., str], monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Two jobs begin at each moment, so that a page may end between them."""
    tokens = [put(f"job-{number}", number // 2) for number in range(5)]
    ended = [put(f"ended-{number}", number) for number in range(2)]
    for token in tokens:
        store.extend_deadline(token, 100.0 if token in ("job-1", "job-2", "job-4") else 200.0)
    for token in ended:
        cancel(store, token)
    monkeypatch.setattr(pages, "PART", page)

    assert store.idle(150.0) == ["job-1", "job-2", "job-4"]
    assert store.idle(50.0) == []
    assert store.idle(EVERYTHING) == tokens


def test_a_job_that_is_open_all_the_time_is_listed_whatever_others_do_meanwhile(
    store: Store, put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends before it is read is left out, and no job is listed as it was not."""
    for number in range(6):
        put(f"job-{number}", number)
    monkeypatch.setattr(pages, "PAGE", 1)
    changes = [
        lambda: cancel(store, "job-0"),
        lambda: put("before all", -1),
        lambda: cancel(store, "job-4"),
        lambda: put("between", 2),
    ]
    monkeypatch.setattr(store, "reading", between(store.reading, *changes))

    found = store.open_jobs()

    assert {"job-1", "job-2", "job-3", "job-5"} <= {one.token for one in found}
    assert not {"job-0", "job-4"} & {one.token for one in found}
    assert len({one.token for one in found}) == len(found)
    assert {one.state for one in found} == {JobState.CREATING}


def test_outputs_and_sums_are_read_in_pages(
    store: Store, put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs of a whole job, which have no document, and of single ones."""
    for owner in (ANNA, BORIS, Principal("device:192.0.2.9", Proof.ADDRESS)):
        put(owner.name, images=3, owner=owner)
    outputs = [
        Delivery(position, document, where, "a", published=True, at=EXAMPLE_TIME)
        for position in (0, 1)
        for document in (None, 1, 2)
        for where in ("/a", "/b")
    ]
    with store.change(ANNA.name) as job:
        job.end(EXAMPLE_TIME)
        job.claim(EXAMPLE_TIME)
        job.start(0, EXAMPLE_TIME)
        job.start(1, EXAMPLE_TIME)
    for one in outputs:
        assert store.grant(JobTurn(ANNA.name, 1), one.position, 1, one, EXAMPLE_TIME)
        store.confirm(JobTurn(ANNA.name, 1), one.position, one)
    whole = (store.deliveries(ANNA.name), list(store.usages()))
    monkeypatch.setattr(pages, "PAGE", 2)

    assert (store.deliveries(ANNA.name), list(store.usages())) == whole
    assert whole[0] == outputs
    assert [one.kept for one in whole[1]] == [30, 30, 30]


def test_the_jobs_of_a_caller_in_progress_are_those_of_its_name_and_proof(
    store: Store, put: Callable[..., str]
) -> None:
    """D1: and only those that are in progress."""
    put("anna")
    put("waiting")
    with store.change("anna") as job:
        job.end(EXAMPLE_TIME)
        job.claim(EXAMPLE_TIME)

    assert store.in_progress(ANNA) == store.in_progress() == {"anna": JobState.STARTED}
    assert store.in_progress(BORIS) == {}
    assert store.in_progress(Principal(ANNA.name, Proof.CERTIFICATE)) == {}


# --- events ------------------------------------------------------------------------------------------------------


def lives(store: Store, put: Callable[..., str]) -> None:
    """Let jobs with images of their own be ended and canceled in turn."""
    for number, images in enumerate((0, 9, 2, 9)):
        put(f"job-{number}", images=images, owner=(ANNA, BORIS)[number % 2])
    for number in range(4):
        with store.change(f"job-{number}") as job:
            job.end(EXAMPLE_TIME)
    for number in (1, 3):
        cancel(store, f"job-{number}")


@pytest.mark.parametrize("rows", [1, 5, 12, 30])
def test_histories_of_any_length_give_the_same_changes(
    store: Store, put: Callable[..., str], monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """None is lost, none is there twice, and those of one job are in order."""
    lives(store, put)
    whole = outbox.after(store.reading, 0, EVERYTHING, None)
    monkeypatch.setattr(pages, "ROWS", rows)

    assert outbox.after(store.reading, 0, EVERYTHING, None) == whole
    for limit in (1, 4):
        found, cursor, before = list[JobChange](), 0, -1
        while before < cursor:
            before = cursor
            part, cursor = outbox.after(store.reading, cursor, limit, None)
            found += part
        assert (found, cursor) == whole


@pytest.mark.parametrize("limit", [1, 4, EVERYTHING])
def test_a_job_that_is_deleted_meanwhile_is_missing_with_all_its_events(
    store: Store, put: Callable[..., str], monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Retention may be faster than the reader: no part of a commit is a change, and the cursor moves past the job."""
    for token in ("old", "new"):
        put(token)
        with store.change(token) as job:
            job.fail(JobReason.PROCESSING_FAILED, EXAMPLE_TIME)
    store.record_ended(100.0)
    store.record_images_removed("old")
    store.number_events()
    of_new = [one for one in outbox.after(store.reading, 0, EVERYTHING, None)[0] if one.job and one.job.token == "new"]
    monkeypatch.setattr(pages, "ROWS", 1)
    dropped: list[Sequence[str]] = []
    reading = between(store.reading, lambda: dropped.append(store.drop_jobs(200.0, keep=0)))

    found, cursor = outbox.after(reading, 0, limit, None)
    rest, _ = outbox.after(store.reading, cursor, EVERYTHING, None)

    assert dropped == [["old"]]
    assert cursor > 0
    assert found + rest == of_new


def test_the_files_of_a_job_that_appears_while_they_are_read_are_left_out(
    store: Store, put: Callable[..., str], migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL each statement of a transaction has a moment of its own."""
    if not migrated_url.startswith("postgresql"):
        return  # a transaction of SQLite has one moment

    def late(*arguments: Any) -> Any:
        monkeypatch.setattr(retention, "at_most", pages.at_most)
        with ThreadPoolExecutor(1) as thread:  # since this one has a transaction open
            thread.submit(put, "late").result()
        return pages.at_most(*arguments)

    monkeypatch.setattr(retention, "at_most", late)

    assert store.blobs(["late"]) == []
    assert [blob.token for blob in store.blobs(["late"])] == ["late"]
