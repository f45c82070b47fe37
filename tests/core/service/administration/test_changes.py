"""What a front end learns about changes of the database, on each kind of database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import databases
import pytest
from conftest import ANNA
from some_jobs import PAGE
from works import PATIENCE

from postscan.core.errors import StoreBusy
from postscan.core.model.job import Job, JobTurn
from postscan.core.model.records import AuditLine
from postscan.core.service.administration import changes
from postscan.core.service.administration.changes import Change, ChangeWatch
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME

OTHER = "0d1f6a52-7c1b-4b0e-9a35-5f6e8f3a7d10"


@pytest.fixture
def watch(store: Store, job: Callable[..., Job]) -> ChangeWatch:
    """A watch that has looked, at a database with two jobs."""
    store.insert(job())
    store.insert(job(token=OTHER))
    watch = ChangeWatch(store)
    watch.look()
    return watch


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    """An SQLite file with all its tables, for what only that kind of database has."""
    store = Store(databases.migrated(sqlite_url), busy_seconds=PATIENCE)
    yield store
    store.close()


def test_the_first_look_counts_every_job_as_changed(store: Store, job: Callable[..., Job]) -> None:
    """A front end that has just started knows none of them."""
    store.insert(job())

    assert ChangeWatch(store).look() == Change(None, frozenset())


def test_nothing_has_changed_where_nothing_was_committed(watch: ChangeWatch) -> None:
    """A console of an idle server costs next to nothing."""
    assert [watch.look() for _ in range(3)] == [None] * 3


def test_the_jobs_that_others_have_changed_are_named(store: Store, watch: ChangeWatch, job: Callable[..., Job]) -> None:
    """By another process, as a server is for the console."""
    other_process = Store(store.url)
    with other_process.change(job().token) as changed:
        changed.receive(PAGE, EXAMPLE_TIME)
    other_process.close()

    change = watch.look()

    assert change is not None
    assert (change.is_of(job().token), change.is_of(job(token=OTHER).token)) == (True, False)
    assert watch.look() is None


def test_progress_counts_though_it_has_no_event(store: Store, watch: ChangeWatch, job: Callable[..., Job]) -> None:
    """The job counts as changed once more when it is in progress no longer: its last deliveries have no event."""
    with store.change(job().token) as running:
        running.receive(PAGE, EXAMPLE_TIME)
        running.end(EXAMPLE_TIME)
    store.claim(EXAMPLE_TIME, "a holder")
    with store.change(job().token) as running:
        running.start(0, EXAMPLE_TIME)
    watch.look()

    store.record_progress(JobTurn(job().token, 1), 0, "3/10 pages")

    assert watch.look() == Change(frozenset({job().token}), frozenset({job().token}))
    assert watch.look() is None


def test_after_very_many_events_every_job_counts_as_changed(
    store: Store, watch: ChangeWatch, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look reads a bounded number of rows, however long the last one is ago."""
    monkeypatch.setattr(changes, "WINDOW", 2)
    with store.change(job().token) as changed:
        for number in range(1, 5):
            changed.receive(replace(PAGE, id=number, blob=f"blob-{number}"), EXAMPLE_TIME)
    store.number_events()

    change = watch.look()

    assert change is not None
    assert change.jobs is None


def test_a_commit_without_an_event_is_noticed_in_a_file(sqlite_store: Store, job: Callable[..., Job]) -> None:
    """Nothing else tells that a line of the audit trail is new."""
    watch = ChangeWatch(sqlite_store)
    watch.look()
    sqlite_store.record(AuditLine.of(ANNA, "get", job().token, EXAMPLE_TIME))

    assert watch.look() == Change(frozenset(), frozenset())


def test_a_database_that_is_always_busy_is_read_all_the_same(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the rollback journal, a look may meet a commit that is being synced each time."""
    watch = ChangeWatch(sqlite_store)
    watch.look()
    monkeypatch.setattr(sqlite_store, "version", lambda: None)

    assert any(watch.look() for _ in range(10))


def test_what_changes_during_an_outage_is_found_behind_it(
    store: Store, watch: ChangeWatch, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that fails must not count as one."""

    def outage() -> None:
        raise StoreBusy("the database does not answer")

    with store.change(job().token) as changed:
        changed.cancel(EXAMPLE_TIME)
    with monkeypatch.context() as patched:
        patched.setattr(store, "reading", outage)
        with pytest.raises(StoreBusy):
            watch.look()

    change = watch.look()

    assert change is not None
    assert change.is_of(job().token)
