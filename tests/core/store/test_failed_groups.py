"""What the changes of a group get when it is not committed as a whole."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace

import databases
import pytest
import sqlalchemy as sa
from conftest import ANNA
from grouped_changes import SOON, MakeJob, cancel, commits, failure, line, tokens

from postscan.core.errors import OutcomeUnknown, StoreBusy, StoreFull
from postscan.core.model.records import RequestKey, StoredResponse
from postscan.core.store.database import group_commit
from postscan.core.store.store import DuplicateRequest, Store


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """A store on SQLite; PostgreSQL has several writers, and groups their commits itself."""
    with contextlib.closing(Store(databases.migrated(sqlite_url), busy_seconds=SOON)) as store:
        yield store


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


def test_two_cancels_of_a_group_both_find_the_disk_full(store: Store, job: MakeJob) -> None:
    """The second one is refused because of the first one, and the ballast is spent on it too."""
    store.insert(job())
    failing = [failure(sqlite3.SQLITE_FULL)]
    with commits(failing), contextlib.suppress(StoreBusy), line(store) as others:
        futures = [others.add(partial(cancel, store, job)) for _ in range(2)]

    assert [type(future.exception()) for future in futures] == [StoreFull] * 2
    assert not store.load(job().token).state.ended


def test_a_transaction_that_sqlite_rolls_back_fails_for_all(store: Store, job: MakeJob) -> None:
    """A full disk ends it, and with it what the changes before have written; the ballast is spent on all."""

    def too_large() -> None:
        with store.writing() as db:
            db.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite takes the number that the file has
            try:
                db.exec_driver_sql("INSERT INTO filler VALUES (zeroblob(10000000))")
            finally:
                db.exec_driver_sql("PRAGMA max_page_count = 1000000")

    with store.writing() as db:
        db.exec_driver_sql("CREATE TABLE filler (bytes BLOB)")
    with line(store) as others:
        before = others.add(lambda: store.insert(job(token="before")))
        failed = others.add(too_large)
        after = others.add(lambda: store.insert(job(token="after")))

    assert type(before.exception()) is type(failed.exception()) is StoreFull
    assert after.exception() is None
    assert tokens(store) == ["after"]


@pytest.mark.parametrize("call", ["rollback_savepoint", "release_savepoint"])
def test_a_change_that_cannot_be_undone_is_not_committed(store: Store, job: MakeJob, call: str) -> None:
    """Its ROLLBACK TO fails, or its RELEASE, after which SQLAlchemy sends no ROLLBACK TO."""

    def no_memory(*_: object) -> None:
        raise MemoryError

    def fail() -> None:
        with store.writing() as db:
            sa.event.listen(db, call, no_memory)
            db.execute(sa.text("delete from job"))
            if call == "rollback_savepoint":
                raise ZeroDivisionError

    store.insert(job(token="before"))
    with line(store) as others:
        first = others.add(lambda: store.insert(job(token="first")))
        failed = others.add(fail)
        last = others.add(lambda: store.insert(job(token="last")))

    error = failed.exception()
    assert type(first.exception()) is type(error) is StoreBusy
    assert isinstance(error.__cause__, MemoryError if call == "release_savepoint" else ZeroDivisionError)
    assert last.exception() is None
    assert tokens(store) == ["before", "last"]


def test_a_transaction_that_has_ended_unseen_is_not_stored(store: Store, job: MakeJob) -> None:
    """To commit it would do nothing, without any error."""
    with pytest.raises(StoreBusy), store.writing() as db:
        db.execute(sa.text("delete from job"))
        db.connection.rollback()
    with pytest.raises(StoreBusy), store.writing() as db:
        db.rollback()

    store.insert(job())
    assert tokens(store) == [job().token]


def test_the_outcome_of_a_commit_is_not_waited_for_without_end(
    store: Store, job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk stands still in the COMMIT: whether the change will be stored is not known, a refusal is `StoreBusy`.

    The time of a change is over when it waits for the outcome, and not before, however slow the machine is.
    """
    over = threading.Event()
    monkeypatch.setattr(group_commit, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 2 * SOON))

    def stand_still(_: sa.Connection) -> None:
        assert over.wait(2 * SOON)

    def refuse() -> None:
        with store.writing():
            raise ZeroDivisionError

    def last() -> None:
        with store.writing() as db:
            sa.event.listen(db, "commit", stand_still)

    with line(store) as others:
        first = others.add(lambda: store.insert(job(token="first")))
        refused = others.add(refuse)
        ends = others.add(last)
        others.go()
        try:
            errors = [type(future.exception(SOON)) for future in (first, refused)]
        finally:
            over.set()
        assert ends.exception(SOON) is None
        assert errors == [OutcomeUnknown, StoreBusy]
        assert tokens(store) == ["first"]


def test_an_exit_in_a_statement_ends_its_group(store: Store, job: MakeJob) -> None:
    """SQLAlchemy closes the connection then; the next change has the turn, and a transaction of its own."""

    def leave(*_: object) -> None:
        raise SystemExit

    def exits() -> None:
        with store.writing() as db:
            sa.event.listen(db, "after_cursor_execute", leave)
            db.execute(sa.text("delete from job"))

    with line(store) as others:
        first = others.add(lambda: store.insert(job(token="first")))
        exiting = others.add(exits)
        last = others.add(lambda: store.insert(job(token="last")))

    assert type(first.exception()) is StoreBusy
    assert type(exiting.exception()) is SystemExit
    assert last.exception() is None
    assert tokens(store) == ["last"]
