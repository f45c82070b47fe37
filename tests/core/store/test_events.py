"""Events of the repository: whether a job is in progress, and which filters there are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import databases
import pytest
import sqlalchemy as sa
from conftest import AnyProcess
from job_changes import live, told

from postscan.core.engine import Engine
from postscan.core.model.job import Job
from postscan.core.model.states import JobReason
from postscan.core.settings import Settings
from postscan.core.store import jobs, outbox
from postscan.core.store.schema import EVENT
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME


def test_the_repository_is_processing_while_any_job_is_in_hand(store: Store, job: Callable[..., Job]) -> None:
    """Told with the commit of the first job that was taken in hand, and of the last one that left it."""
    for token in ("one", "two"):
        store.insert(job(token=token))
        with store.change(token) as stored:
            stored.end(EXAMPLE_TIME)
    commits: list[tuple[str, str]] = []

    def now() -> None:
        state = next((one.state for one in reversed(told(store)) if one.state), "")
        commits.append((store.load("one").state + "/" + store.load("two").state, state))

    now()
    store.claim(EXAMPLE_TIME, "a holder")
    now()
    store.claim(EXAMPLE_TIME, "a holder")
    now()
    with store.change("one") as stored:
        stored.cancel(EXAMPLE_TIME)
    now()
    with store.change("one") as stored:
        stored.finish(EXAMPLE_TIME)
    now()
    with store.change("two") as stored:
        stored.fail(JobReason.PROCESSING_FAILED, EXAMPLE_TIME)
    now()

    assert commits == [
        ("Pending/Pending", ""),
        ("Started/Pending", "Processing"),
        ("Started/Started", "Processing"),
        ("Terminating/Started", "Processing"),
        ("Canceled/Started", "Processing"),
        ("Canceled/Aborted", "Idle"),
    ]
    assert [one.state for one in told(store) if one.state] == ["Processing", "Idle"]


def test_a_change_that_is_undone_leaves_the_repository_as_it_was(store: Store, job: Callable[..., Job]) -> None:
    """I28: in the same transaction, so nothing is told that is not durable."""
    store.insert(job())
    with store.change(job().token) as stored:
        stored.end(EXAMPLE_TIME)
    with pytest.raises(RuntimeError), store.writing() as db:
        loaded = jobs.load(db, job().token)
        before = jobs.Stored.of(loaded)
        loaded.claim(EXAMPLE_TIME)
        jobs.save(db, loaded, before)
        if store.has_one_writer:
            assert outbox.owners_since(db, 2)[1]
        raise RuntimeError("in the middle")
    store.number_events()

    with store.reading() as db:
        assert outbox.owners_since(db, 2) == (set(), False, 2)


def test_other_filters_than_the_last_time_are_told_of(store: Store) -> None:
    """The first time as well; the order in which they are found is no difference, and so is a second start."""
    for filters in (["urn:b", "urn:a"], ["urn:a", "urn:b"], ["urn:a"], [], []):
        store.record_filters(filters, EXAMPLE_TIME)

    assert [one.filters for one in told(store)] == [("urn:a", "urn:b"), ("urn:a",), ()]
    assert all(one.job is None and one.state == "" for one in told(store))


def test_a_server_that_starts_tells_which_filters_it_has(settings: Settings) -> None:
    """What the last one wrote is what it compares with: here one plugin is switched off before the second start."""
    databases.migrated(settings.storage.url)
    without = settings.model_copy(update={"plugins": settings.plugins.model_copy(update={"disabled": ("acme",)})})
    for table in (settings, without):
        with contextlib.closing(Engine(table, AnyProcess())) as core, core.running() as catalogue:
            assert told(core.store)[-1].filters == tuple(sorted(catalogue.dialects))
            first, *others = told(core.store)

    assert first.filters is not None
    assert "urn:acme:copy" in first.filters
    assert [set(first.filters) - set(one.filters or ()) for one in others] == [
        {dialect for dialect in first.filters if dialect.startswith("urn:acme:")}
    ]


def test_what_is_old_of_the_repository_is_forgotten_but_the_newest_of_each_kind(
    store: Store, job: Callable[..., Job]
) -> None:
    """D15; the newest of each kind is what the next change is compared with. Ages are those of the jobs, in ticks."""

    def kinds() -> list[str]:
        with store.reading() as db:
            return list(db.scalars(sa.select(EVENT.c.kind).where(EVENT.c.token.is_(None)).order_by(EVENT.c.seq)))

    for number in range(3):
        store.record_filters([f"urn:{number}"], EXAMPLE_TIME)
        for _ in live(store, job(token=f"job-{number}")):
            pass
        store.number_events()
        store.record_ended(100.0 * number)
    one_round = ["RepositoryConfigurationChanged", "RepositoryStatusChanged", "RepositoryStatusChanged"]
    assert kinds() == one_round * 3

    store.drop_repository_events(-1.0)
    assert kinds() == one_round * 3
    store.drop_repository_events(50.0)
    after_one_is_old = kinds()
    store.drop_repository_events(1000.0)

    assert after_one_is_old == one_round[-1:] + one_round * 2
    assert kinds() == ["RepositoryConfigurationChanged", "RepositoryStatusChanged"]
    store.record_filters(["urn:2"], EXAMPLE_TIME)
    assert len(kinds()) == 2
