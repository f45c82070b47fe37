"""Changes that wait for the writer of SQLite are committed together, and each gets its own outcome."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import databases
import pytest
import sqlalchemy as sa
from conftest import ANNA

from postscan.core.errors import JobNotFound, OutcomeUnknown, StoreBusy, StoreFull
from postscan.core.model.job import Job
from postscan.core.model.records import RequestKey, StoredResponse
from postscan.core.store.database import group_commit
from postscan.core.store.store import DuplicateRequest, Store
from postscan.plugins.testing.runner import EXAMPLE_TIME

SOON = 30.0  # seconds; only ends a test that has failed
MakeJob = Callable[..., Job]
Change = Callable[[], object]


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """A store on SQLite; PostgreSQL has several writers, and groups their commits itself."""
    with contextlib.closing(Store(databases.migrated(sqlite_url))) as store:
        yield store


class Line:
    """Changes that wait in line, in the order in which they were added, behind one that stands still."""

    def __init__(self, store: Store, threads: ThreadPoolExecutor, over: threading.Event) -> None:
        self.go = over.set
        group = store._database._group
        assert group is not None, "the database has several writers"
        self._turns = group._turns
        self._threads = threads

    def add(self, change: Change) -> Future[object]:
        """Let a thread begin a change; return when it waits."""
        before = len(self._turns)
        future = self._threads.submit(change)
        until = time.monotonic() + SOON
        while len(self._turns) == before:
            assert time.monotonic() < until, "the change does not wait"
            time.sleep(0.001)
        return future


@contextlib.contextmanager
def line(store: Store) -> Iterator[Line]:
    """Stand still in a change while the body runs, and join the changes that the body adds."""
    inside, over = threading.Event(), threading.Event()

    def stand() -> None:
        with store.writing():
            inside.set()
            assert over.wait(SOON)

    with ThreadPoolExecutor(20) as threads:
        standing = threads.submit(stand)
        assert inside.wait(SOON)
        try:
            yield Line(store, threads, over)
        finally:
            over.set()
            standing.exception(SOON)


@contextlib.contextmanager
def commits(raising: list[Exception] | None = None) -> Iterator[list[bool]]:
    """Yield a list that gets an item for each COMMIT; a COMMIT takes an error of *raising* and fails with it."""
    found: list[bool] = []

    def commit(_db: sa.Connection) -> None:
        found.append(True)
        if raising:
            raise raising.pop()

    sa.event.listen(sa.Engine, "commit", commit)
    try:
        yield found
    finally:
        sa.event.remove(sa.Engine, "commit", commit)


def failure(code: int) -> sa.exc.OperationalError:
    """Return the error of a COMMIT with this code of SQLite."""
    error = sqlite3.OperationalError("the disk")
    error.sqlite_errorcode = code
    return sa.exc.OperationalError("COMMIT", None, error)


def tokens(store: Store) -> list[str]:
    """Return the jobs that are stored."""
    return sorted(job.token for job in store.open_jobs())


def test_changes_that_wait_share_a_commit(store: Store, job: MakeJob) -> None:
    """The first one was alone when it began, and takes the others with it."""
    with commits() as made, line(store) as others:
        futures = [others.add(partial(store.insert, job(token=str(n)))) for n in range(5)]

    assert [future.exception() for future in futures] == [None] * 5
    assert len(made) == 1
    assert tokens(store) == ["0", "1", "2", "3", "4"]


def test_a_group_has_an_end(store: Store, job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the first change waits for a few others only."""
    monkeypatch.setattr(group_commit, "MOST", 3)
    with commits() as made, line(store) as others:
        for number in range(5):
            others.add(partial(store.insert, job(token=str(number))))

    assert len(made) == 2
    assert len(tokens(store)) == 5


def test_a_change_that_fails_is_undone_alone(store: Store, job: MakeJob) -> None:
    """Also if it has written before."""

    def fail() -> None:
        with store.writing() as db:
            db.execute(sa.text("delete from job"))
            raise ZeroDivisionError

    with line(store) as others:
        first = others.add(lambda: store.insert(job(token="first")))
        failed = others.add(fail)
        last = others.add(lambda: store.insert(job(token="last")))

    assert isinstance(failed.exception(), ZeroDivisionError)
    assert first.exception() is last.exception() is None
    assert tokens(store) == ["first", "last"]


def test_one_cancel_of_a_group_wins(store: Store, job: MakeJob) -> None:
    """The second one loads what the first one has written, as if that were committed."""
    store.insert(job())

    def cancel() -> None:
        with store.urgent(), store.change(job().token) as changed:
            changed.cancel(EXAMPLE_TIME)

    with commits() as made, line(store) as others:
        futures = [others.add(cancel) for _ in range(3)]

    assert len(made) == 1
    assert [type(future.exception()).__name__ for future in futures] == ["NoneType", "JobCanceled", "JobCanceled"]
    assert len([event for event in store.events(job().token) if event.kind == "JobEnded"]) == 1


def test_an_urgent_change_is_committed_without_waiting_for_others(store: Store, job: MakeJob) -> None:
    """It goes first, and takes only urgent ones with it."""
    over = threading.Event()

    def stand() -> None:
        with store.writing():
            assert over.wait(SOON)

    def insert(token: str) -> None:
        with store.urgent():
            store.insert(job(token=token))

    with line(store) as others:
        ordinary = others.add(stand)
        urgent = [others.add(partial(insert, token)) for token in ("one", "two")]
        others.go()

        assert [future.result(SOON) for future in urgent] == [None, None]
        assert tokens(store) == ["one", "two"]
        assert not ordinary.done()
        over.set()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (sqlite3.SQLITE_FULL, StoreFull),
        (sqlite3.SQLITE_BUSY, StoreBusy),
        (sqlite3.SQLITE_IOERR_DELETE, OutcomeUnknown),
    ],
)
def test_all_changes_of_a_group_have_the_outcome_of_its_commit(
    store: Store, job: MakeJob, code: int, error: type[StoreBusy]
) -> None:
    """None is told that it is stored, and each that it is not known where that is so."""
    failing = [failure(code)]
    with commits(failing), contextlib.suppress(StoreBusy), line(store) as others:
        futures = [others.add(partial(store.insert, job(token=str(n)))) for n in range(3)]

    assert [type(future.exception()) for future in futures] == [error] * 3
    assert tokens(store) == []


def test_a_refusal_is_not_told_before_what_it_is_due_to_is_stored(store: Store, job: MakeJob) -> None:
    """A repeated request finds the response of the first one only if that is committed."""
    response = StoredResponse(ANNA.name, RequestKey("urn:uuid:1", "d"), "create", "first", 0.0)
    failing: list[Exception] = []
    for error in (DuplicateRequest, StoreBusy):
        with commits(failing), line(store) as others:
            others.add(lambda: store.insert(job(token="first"), response))
            again = others.add(lambda: store.insert(job(token="second"), response))

        assert type(again.exception()) is error
        with store.writing() as db:
            db.execute(sa.text("delete from request"))
            db.execute(sa.text("delete from job"))
        failing.append(failure(sqlite3.SQLITE_BUSY))


def test_a_transaction_that_sqlite_rolls_back_fails_for_all(store: Store, job: MakeJob) -> None:
    """Some errors of the disk end it, and with it what the changes before have written."""

    def broken() -> None:
        with store.writing() as db:
            db.connection.rollback()
            raise failure(sqlite3.SQLITE_FULL)

    with line(store) as others:
        before = others.add(lambda: store.insert(job(token="before")))
        failed = others.add(broken)
        after = others.add(lambda: store.insert(job(token="after")))

    assert isinstance(before.exception(), StoreBusy)
    assert isinstance(failed.exception(), StoreBusy)
    assert after.exception() is None
    assert tokens(store) == ["after"]


def test_a_change_that_waits_too_long_is_busy_and_the_others_go_on(sqlite_url: str, job: MakeJob) -> None:
    """It leaves the line."""
    with contextlib.closing(Store(databases.migrated(sqlite_url), busy_seconds=0.05)) as store:
        with line(store) as others:
            late = others.add(lambda: store.insert(job()))
            assert isinstance(late.exception(SOON), StoreBusy)
        with pytest.raises(JobNotFound):
            store.load(job().token)

        store.insert(job())
