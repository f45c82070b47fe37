"""Numbers of events on PostgreSQL: given behind the commits, in order, once, and beside the version before."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from job_changes import EVERYTHING, live, page, told
from works import until

from postscan.core.cluster import event_numbering
from postscan.core.cluster.event_numbering import EventNumbering
from postscan.core.cluster.leadership import AlwaysLeader
from postscan.core.model.job import Job
from postscan.core.model.states import JobReason
from postscan.core.model.subscription import EventService, Sink
from postscan.core.service.administration.changes import ChangeWatch
from postscan.core.service.subscriptions import Subscriptions
from postscan.core.settings.network import EventSettings
from postscan.core.store import events, outbox
from postscan.core.store.cluster import numbering
from postscan.core.store.cluster.tables import UNNUMBERED_EVENT
from postscan.core.store.schema import EVENT, JOB
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME, FakeClock

MakeJob = Callable[..., Job]


@pytest.fixture
def shared(postgres_url: str) -> Iterator[Store]:
    """A store on PostgreSQL."""
    with contextlib.closing(Store(postgres_url)) as store:
        yield store


@pytest.fixture
def other(shared: Store) -> Iterator[Store]:
    """Another process's store on the same database."""
    with contextlib.closing(Store(shared.url)) as store:
        yield store


def numbered(store: Store) -> list[tuple[int, str | None, str, int]]:
    """Return number, job, kind and version of all events that have a number."""
    with store.reading() as db:
        query = sa.select(EVENT.c.seq, EVENT.c.token, EVENT.c.kind, EVENT.c.version).order_by(EVENT.c.seq)
        return [tuple(row) for row in db.execute(query)]


def states_of_the_repository(store: Store) -> list[str]:
    """Return them in the order of their numbers."""
    return [change.state for change in told(store) if change.job is None]


def test_an_event_has_a_number_soon_after_its_commit(
    shared: Store, job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is committed before the stop has one behind it."""
    monkeypatch.setattr(event_numbering, "PAUSE_SECONDS", 0.01)
    task = EventNumbering(shared, AlwaysLeader())
    task.start()
    shared.insert(job(token="one"))
    until(lambda: numbered(shared), "for the number")
    shared.insert(job(token="two"))
    task.stop()

    assert [token for _, token, _, _ in numbered(shared)] == ["one", "two"]


def test_who_does_not_lead_numbers_nothing(shared: Store, job: MakeJob) -> None:
    """Nor at the stop."""

    class Follower(AlwaysLeader):
        is_leader = False

    task = EventNumbering(shared, Follower())
    task.start()
    shared.insert(job(token="one"))
    task.stop()

    assert numbered(shared) == []


def test_the_changes_of_a_job_are_the_same_however_late_they_are_numbered(shared: Store, job: MakeJob) -> None:
    """Decision 12: a change for each commit, with all its events, in the order of the versions."""
    for _ in live(shared, replace_token(job("urn:acme:copy", "urn:acme:copy"), "at-once")):
        shared.number_events()
    for _ in live(shared, replace_token(job("urn:acme:copy", "urn:acme:copy"), "late")):
        pass

    changes = told(shared)

    def of(token: str) -> list[object]:
        return [
            (replace(one.job, token=""), one.first, one.ended) for one in changes if one.job and one.job.token == token
        ]

    assert of("late") == of("at-once")


def replace_token(job: Job, token: str) -> Job:
    """Return the job under another token."""
    job.token = token
    return job


@pytest.mark.parametrize("most", [1, 2, 1000])
def test_a_commit_is_never_divided_and_no_number_is_given_twice(
    shared: Store, job: MakeJob, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """However many events one transaction numbers."""
    monkeypatch.setattr(numbering, "MOST", most)
    for token in ("a", "b"):
        shared.insert(job("urn:acme:copy", "urn:acme:copy", token=token))
    with shared.change("a") as changed:
        changed.cancel(EXAMPLE_TIME)
    with shared.change("b") as changed:
        changed.receive(page(1), EXAMPLE_TIME)
    with shared.writing() as db:
        numbering.number(db)

    part = numbered(shared)
    shared.number_events()
    whole = numbered(shared)

    commits = [(token, version) for _, token, _, version in whole]
    assert whole[: len(part)] == part
    assert commits.count(("a", 1)) > 1
    assert {(token, version) for _, token, _, version in part}.isdisjoint(commits[len(part) :])
    assert len({seq for seq, *_ in whole}) == len(whole)
    for token in ("a", "b"):
        versions = [version for _, of, _, version in whole if of == token]
        assert versions == sorted(versions)


def test_two_that_number_at_once_are_harmless(shared: Store, other: Store, job: MakeJob) -> None:
    """A former leader that does not know it yet: each event has one number, and the second one waits for the first."""
    for number in range(20):
        shared.insert(job(token=f"job-{number}"))
    threads = [threading.Thread(target=store.number_events) for store in (shared, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = [token for _, token, _, _ in numbered(shared)]
    assert sorted(map(str, found)) == sorted(f"job-{number}" for number in range(20))


def test_the_state_of_the_repository_is_that_of_its_jobs_commit_by_commit(shared: Store, job: MakeJob) -> None:
    """Also if all of them are numbered at once: busy, idle and busy again is three events."""
    for token in ("first", "second", "third"):
        shared.insert(job(token=token))
        with shared.change(token) as changed:
            changed.end(EXAMPLE_TIME)
    for _ in range(2):
        assert shared.claim(EXAMPLE_TIME, "a holder")
    for token in ("first", "second"):
        with shared.change(token) as changed:
            changed.fail(JobReason.PROCESSING_FAILED, EXAMPLE_TIME)
    assert shared.claim(EXAMPLE_TIME, "a holder")

    assert states_of_the_repository(shared) == ["Processing", "Idle", "Processing"]
    changes = told(shared)
    [idle] = [n for n, change in enumerate(changes) if change.state == "Idle"]
    assert changes[idle - 1].job is not None
    assert changes[idle - 1].job.token == "second"


def test_events_without_a_number_are_found_by_who_reads_the_events_of_a_job(shared: Store, job: MakeJob) -> None:
    """A command beside no server at all."""
    shared.insert(job(token="one"))

    assert [event.kind for event in shared.events("one")] == ["JobStateChanged"]


def test_a_console_sees_a_change_before_its_event_has_a_number(shared: Store, other: Store, job: MakeJob) -> None:
    """And once it has one, it is no change a third time."""
    watch = ChangeWatch(shared)
    watch.look()
    other.insert(job(token="one"))
    first = watch.look()
    between = watch.look()
    other.number_events()
    second = watch.look()

    assert first is not None
    assert first.jobs == {"one"}
    assert between is None
    assert second is not None
    assert watch.look() is None


def test_a_subscription_begins_behind_what_is_committed(shared: Store, other: Store, job: MakeJob) -> None:
    """What has no number yet is before it, and what is not committed yet behind it."""
    owner = job().owner
    other.insert(job(token="before"))
    sink = Sink("http://192.0.2.7/", "192.0.2.7", "")
    service = Subscriptions(shared, EventSettings(), FakeClock())
    made = service.add(EventService.PROCESSING, owner, sink, None, (), lambda id: id, False, None)
    other.insert(job(token="behind"))
    shared.number_events()

    changes, _ = outbox.after(shared.reading, made.cursor, EVERYTHING, owner)

    assert [change.job and change.job.token for change in changes] == ["behind"]


def change_as_before(db: sa.Connection, token: str, version: int) -> None:
    """Write an event as release 1.0 does: under the lock, and with a number from the table."""
    numbering.lock(db)
    fields = {"state": "Pending", "reasons": []}
    row = {"token": token, "kind": "JobStateChanged", "at": EXAMPLE_TIME, "fields": fields, "version": version}
    db.execute(sa.insert(EVENT), [row, {**row, "kind": "ImageReceived"}])
    db.execute(sa.update(JOB).where(JOB.c.token == token).values(version=version))


def test_the_version_before_beside_this_one_keeps_the_order_of_a_job(shared: Store, other: Store, job: MakeJob) -> None:
    """Its event has a number at once, so those of the same job that have none yet get smaller ones first."""
    shared.insert(job(token="one"))
    with shared.change("one") as changed:
        changed.receive(page(1), EXAMPLE_TIME)
    with other.writing() as db:
        change_as_before(db, "one", 2)
    with shared.change("one") as changed:
        changed.receive(page(2), EXAMPLE_TIME)
    shared.number_events()

    found = numbered(shared)

    assert [version for _, _, _, version in found] == sorted(version for _, _, _, version in found)
    assert [version for _, _, _, version in found].count(2) == 2
    assert len(found) == len({seq for seq, *_ in found})


def test_the_version_before_keeps_others_from_numbering_until_it_has_committed(
    shared: Store, other: Store, job: MakeJob
) -> None:
    """Else a reader's cursor could pass the number that it holds."""
    for token in ("one", "two"):
        shared.insert(job(token=token))
    shared.number_events()
    before = len(numbered(shared))
    with shared.change("two") as changed:
        changed.receive(page(1), EXAMPLE_TIME)
    thread = threading.Thread(target=other.number_events)
    with shared.writing() as db:
        change_as_before(db, "one", 1)
        thread.start()
        waiting = sa.text("select count(*) from pg_locks where locktype = 'advisory' and not granted")
        until(lambda: db.scalar(waiting) or not thread.is_alive(), "for the other one to wait")
        assert thread.is_alive()
    thread.join()

    found = numbered(shared)[before:]

    assert [seq for seq, *_ in found] == sorted(seq for seq, *_ in found)
    assert {token for _, token, _, _ in found} == {"one", "two"}


def test_nothing_stays_in_the_table_of_events_without_a_number(shared: Store, job: MakeJob) -> None:
    """They are moved, not copied; the newest number is that of the last one."""
    shared.insert(job(token="one"))
    assert shared.number_events() == 1
    assert shared.number_events() == 0

    with shared.reading() as db:
        assert db.scalar(sa.select(sa.func.count()).select_from(UNNUMBERED_EVENT)) == 0
        assert events.newest(db) == 1
