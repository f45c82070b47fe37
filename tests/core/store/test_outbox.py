"""What subscribers hear of: whole commits, in order, each the same however often it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import ANNA, BORIS
from job_changes import EVERYTHING, live, page, told

from postscan.core.model.job import Job
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.snapshot import JobChange
from postscan.core.model.states import FilterState, JobReason, JobState
from postscan.core.store import events, outbox
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME


def of_jobs(store: Store, **how: Any) -> list[JobChange]:
    """Return the happenings of jobs."""
    return [one for one in told(store, **how) if one.job is not None]


def facts(job: Any) -> tuple[Any, ...]:
    """Return what the writers of messages read of a job, under the names of `Job`."""
    return (
        (job.token, job.user, job.process_id, job.process_name, job.state, job.reasons),
        [(step.dialect, step.state, step.reasons) for step in job.steps],
        (job.images_received, job.created, job.completed),
    )


def test_each_commit_is_told_as_the_job_stood_after_it(store: Store, job: Callable[..., Job]) -> None:
    """I28: the snapshots are the stored jobs, commit by commit; none for a lone image, none for a run begun again."""
    stood = [facts(one) for one in live(store, job("urn:acme:copy", "urn:acme:sleep"))]

    happenings = of_jobs(store)

    assert [facts(one.job) for one in happenings] == stood
    assert [one.first for one in happenings] == [True] + [False] * (len(stood) - 1)
    assert [one.ended for one in happenings] == [False] * (len(stood) - 1) + [True]


def test_a_cancel_at_once_is_one_happening_that_ends(store: Store, job: Callable[..., Job]) -> None:
    """Four events in one commit: the filters, the state, the end."""
    store.insert(job("urn:acme:copy", "urn:acme:sleep"))
    with store.change(job().token) as stored:
        stored.cancel(EXAMPLE_TIME)

    (_, canceled) = told(store)

    assert canceled.ended
    assert canceled.job is not None
    assert (canceled.job.state, canceled.job.reasons) == (JobState.CANCELED, (JobReason.CANCELED,))
    assert [step.state for step in canceled.job.steps] == [FilterState.CANCELED] * 2
    assert canceled.seq == store.events(job().token)[-1].seq


def test_what_is_told_again_is_the_same(store: Store, job: Callable[..., Job]) -> None:
    """I27: a duplicate is identical, whatever has happened since."""
    heard = []
    for _ in live(store, job()):
        heard.append(told(store)[-1])

    again = told(store)

    assert [one for one in again if one in heard] == heard
    assert again == told(store)


def test_pages_of_any_size_tell_the_same(store: Store, job: Callable[..., Job]) -> None:
    """At most so many happenings at a time, no commit cut in half, each told once."""
    for number in range(3):
        for _ in live(store, job(*["urn:acme:copy"] * 3, token=f"job-{number}")):
            pass
    whole, heard = told(store), dict[int, list[JobChange]]()
    with store.reading() as db:
        newest = events.newest(db)
    for limit in (1, 2, 3, 7):
        heard[limit], cursor = [], 0
        while cursor < newest:
            part, cursor = outbox.after(store.reading, cursor, limit, None)
            assert len(part) <= limit
            heard[limit] += part

    assert heard == dict.fromkeys((1, 2, 3, 7), whole)
    assert [one.seq for one in whole] == sorted({one.seq for one in whole})


@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_a_window_divides_no_commit_and_loses_none(
    store: Store, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    """A transaction looks at few events; told window by window, the changes are the same."""
    for number, owner in enumerate((ANNA, BORIS, ANNA)):
        for _ in live(store, job(token=f"job-{number}", owner=owner)):
            pass
    whole = {owner: told(store, owner=owner) for owner in (None, ANNA, BORIS)}
    monkeypatch.setattr(outbox, "WINDOW", window)

    for owner, expected in whole.items():
        heard, cursor, before, count = list[JobChange](), 0, -1, 0
        while before < cursor:
            before = cursor
            part, cursor = outbox.after(store.reading, cursor, 4, owner)
            heard += part
        assert heard == expected
        before = cursor = 0
        while True:
            with store.reading() as db:
                found, cursor = outbox.waiting(db, before, owner)
            count += found
            if cursor <= before:
                break
            before = cursor
        with store.reading() as db:
            monkeypatch.setattr(outbox, "WINDOW", EVERYTHING)
            assert outbox.waiting(db, 0, owner)[0] == count
            monkeypatch.setattr(outbox, "WINDOW", window)


def test_an_owner_hears_of_its_own_jobs_only(store: Store, job: Callable[..., Job]) -> None:
    """I29, D23: name and proof decide; the repository is the administrators'."""
    forged = Principal(ANNA.name, Proof.CERTIFICATE)
    for owner in (ANNA, BORIS, forged):
        for _ in live(store, job(token=f"{owner.name} {owner.proof}"[-36:], owner=owner)):
            pass

    heard = {owner: {one.job and one.job.token for one in told(store, owner=owner)} for owner in (ANNA, BORIS, forged)}

    assert heard == {owner: {f"{owner.name} {owner.proof}"[-36:]} for owner in (ANNA, BORIS, forged)}
    assert told(store, owner=Principal("device:nobody", Proof.ADDRESS)) == []
    assert {one.job is None for one in told(store)} == {True, False}


def test_the_cursor_moves_on_even_if_there_is_nothing_to_tell(store: Store, job: Callable[..., Job]) -> None:
    """Images, and what happens to others, are passed once and not looked at again."""
    store.insert(job())
    with store.change(job().token) as stored:
        stored.receive(page(1), EXAMPLE_TIME)
    store.number_events()
    with store.reading() as db:
        newest = events.newest(db)

    assert outbox.after(store.reading, 1, EVERYTHING, ANNA) == ([], newest)
    assert outbox.after(store.reading, 0, EVERYTHING, BORIS) == ([], newest)
    assert outbox.after(store.reading, newest + 5, EVERYTHING, None) == ([], newest + 5)


def test_who_has_something_to_hear_is_known_at_once(store: Store, job: Callable[..., Job]) -> None:
    """Owners by name and proof, the repository, and the newest number; an image is nothing to tell (ruling 23)."""
    anna, boris = ((one.name, str(one.proof)) for one in (ANNA, BORIS))
    store.insert(job(token="anna"))
    store.insert(job(token="boris", owner=BORIS))
    store.number_events()
    with store.reading() as db:
        assert outbox.owners_since(db, 0) == ({anna, boris}, False, 2)
        assert outbox.owners_since(db, 1) == ({boris}, False, 2)
        assert outbox.owners_since(db, 2) == (set(), False, 2)
    with store.change("anna") as stored:
        stored.receive(page(1), EXAMPLE_TIME)
    with store.change("boris") as stored:
        stored.end(EXAMPLE_TIME)
    store.number_events()
    with store.reading() as db:
        assert outbox.owners_since(db, 2) == ({boris}, False, 4)
        assert outbox.owners_since(db, 3) == ({boris}, False, 4)

    store.claim(EXAMPLE_TIME, "a holder")
    store.number_events()

    with store.reading() as db:
        assert outbox.owners_since(db, 4) == ({boris}, True, 6)


def test_what_waits_for_somebody_is_counted(store: Store, job: Callable[..., Job]) -> None:
    """Events behind the cursor, of one owner or of all; images do not count."""
    anna = job(token="anna")
    anna.receive(page(1), EXAMPLE_TIME)
    store.insert(anna)
    store.insert(job(token="boris", owner=BORIS))
    store.number_events()
    store.record_filters(("urn:a",), EXAMPLE_TIME)
    with store.reading() as db:
        newest = events.newest(db)
        assert [outbox.waiting(db, 0, one) for one in (ANNA, BORIS, None)] == [(1, newest), (1, newest), (3, newest)]
        assert [outbox.waiting(db, 2, one) for one in (ANNA, BORIS, None)] == [(0, newest), (1, newest), (2, newest)]


def test_a_page_takes_four_questions_however_many_jobs_it_is_about(store: Store, job: Callable[..., Job]) -> None:
    """The newest number, the page, the histories of its jobs, the jobs; one more where a page ends within a commit."""
    for number in range(5):
        for _ in live(store, job(token=f"job-{number}")):
            pass
    store.number_events()
    asked: list[str] = []

    def count(_db: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        outbox.after(store.reading, 0, EVERYTHING, ANNA)
        whole = len(asked)
        outbox.after(store.reading, 0, 8, ANNA)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)

    assert (whole, len(asked) - whole) == (4, 5)


def test_a_forgotten_job_is_not_told_of_any_more(store: Store, job: Callable[..., Job]) -> None:
    """Retention may be faster than a subscriber that does not answer; the others' happenings stay."""
    for token in ("old", "new"):
        for _ in live(store, job(token=token)):
            pass
    store.record_ended(100.0)
    store.record_images_removed("old")
    store.drop_jobs(200.0, keep=0)

    assert {one.job.token for one in of_jobs(store) if one.job} == {"new"}
