"""The cache of jobs: what a caller gets from it, and what a commit of whom invalidates."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import databases
import pytest

from postscan.core.model.job import Job, JobDocument
from postscan.core.store import cache
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME

OTHER = "0d1f6a52-7c1b-4b0e-9a35-5f6e8f3a7d10"
PAGE = JobDocument(3, "png", 10, "ab" * 32, "5d2c/3-aa")


@pytest.fixture
def migrated_url(sqlite_url: str) -> str:
    """An SQLite database with all its tables, for the store: nothing is cached on another one."""
    return databases.migrated(sqlite_url)


@pytest.fixture
def token(store: Store, job: Callable[..., Job]) -> str:
    """A job that the cache has, beside another one."""
    made = job()
    store.insert(made)
    store.insert(job(token=OTHER))
    store.load(made.token)
    return made.token


def test_commits_about_other_jobs_leave_a_job_cached(store: Store, token: str) -> None:
    """Else each commit of a busy server would send all devices that poll through threads."""
    for _ in range(3):
        with store.change(OTHER) as other:
            other.receive(PAGE, EXAMPLE_TIME)
        store.record()

        assert store.cached(token) is not None


def test_looking_for_work_leaves_a_job_cached(store: Store, token: str) -> None:
    """The scheduler does it four times a second, in a transaction that could write."""
    assert store.claim(EXAMPLE_TIME, "a holder") is None

    assert store.cached(token) is not None


@pytest.mark.parametrize("other_process", [False, True])
def test_a_changed_job_is_not_returned(store: Store, token: str, migrated_url: str, other_process: bool) -> None:
    """Whoever has committed; and the next load caches it again."""
    writer = Store(migrated_url) if other_process else store
    with writer.change(token) as job:
        job.cancel(EXAMPLE_TIME)
    if other_process:
        writer.close()

    assert store.cached(token) is None
    assert store.load(token) == store.cached(token)


def test_a_deleted_job_is_not_returned(store: Store, token: str, migrated_url: str) -> None:
    """Its row is gone."""
    with closing(sqlite3.connect(migrated_url.removeprefix("sqlite:///"))) as other, other:
        other.execute("DELETE FROM job WHERE token = ?", (token,))

    assert store.cached(token) is None


def test_a_job_read_before_a_commit_is_not_cached_as_newer(store: Store, token: str) -> None:
    """A slow reader puts what it has read after another thread has changed it."""
    seen = store._cache.seen()
    old = store.load(token)
    with store.change(token) as job:
        job.cancel(EXAMPLE_TIME)
    store._cache.put(old, seen)

    assert store.cached(token) is None


def test_a_job_stays_cached_while_another_process_commits(
    store: Store, token: str, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite is busy then, and the commit is not complete."""
    monkeypatch.setattr(cache, "RECENT", 60.0)
    with closing(sqlite3.connect(migrated_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        store.cached(token)
        other.execute("BEGIN EXCLUSIVE")

        assert store.cached(token) is not None


def test_a_busy_database_hides_a_change_for_a_quarter_of_a_second(
    store: Store, token: str, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond that nothing is returned that was not compared, under the rollback journal."""
    monkeypatch.setattr(cache, "RECENT", -1.0)
    with closing(sqlite3.connect(migrated_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        is_delete = other.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
        other.execute("BEGIN EXCLUSIVE")

        assert (store.cached(token) is None) == is_delete


def test_a_commit_of_this_process_counts_while_the_database_is_busy(
    store: Store, token: str, migrated_url: str
) -> None:
    """What the server has acknowledged is seen at once, under the rollback journal without a comparison."""
    store.cached(token)
    with closing(sqlite3.connect(migrated_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        with store.change(token) as job:
            job.cancel(EXAMPLE_TIME)
        other.execute("BEGIN EXCLUSIVE")

        assert store.cached(token) is None


def test_a_job_of_another_caller_is_not_looked_up(store: Store, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-O4: SQLite is asked neither for a foreign job nor for an unknown one, so neither takes longer."""
    monkeypatch.setattr(store._cache, "_seen", pytest.fail)

    assert store.cached(token, lambda _job: False) is None
    assert store.cached("unknown") is None


def test_the_oldest_of_too_many_jobs_leaves(store: Store, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others stay."""
    monkeypatch.setattr(cache, "MOST", 1)
    store.load(OTHER)

    assert store.cached(token) is None
    assert store.cached(OTHER) is not None
