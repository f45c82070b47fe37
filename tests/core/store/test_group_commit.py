"""Changes that wait for the writer of SQLite are committed together, and each gets its own outcome."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import partial

import databases
import pytest
import sqlalchemy as sa
from grouped_changes import SOON, MakeJob, cancel, commits, line, tokens

from postscan.core.errors import JobNotFound, StoreBusy
from postscan.core.store.database import group_commit
from postscan.core.store.store import Store


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """A store on SQLite; PostgreSQL has several writers, and groups their commits itself."""
    with contextlib.closing(Store(databases.migrated(sqlite_url), busy_seconds=SOON)) as store:
        yield store


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
    with commits() as made, line(store) as others:
        futures = [others.add(partial(cancel, store, job)) for _ in range(3)]

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


def test_a_change_that_waits_too_long_is_busy_and_the_others_go_on(sqlite_url: str, job: MakeJob) -> None:
    """It leaves the line."""
    with contextlib.closing(Store(databases.migrated(sqlite_url), busy_seconds=0.05)) as store:
        with line(store) as others:
            late = others.add(lambda: store.insert(job()))
            assert isinstance(late.exception(SOON), StoreBusy)
        with pytest.raises(JobNotFound):
            store.load(job().token)

        store.insert(job())
