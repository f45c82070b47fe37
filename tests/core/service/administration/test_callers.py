"""What callers have done in the last 24 hours, and what the spool keeps of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import databases
import pytest
from conftest import ANNA, BORIS, AnyProcess
from reads import longest
from works import SID, instructions

from postscan.core.engine import Engine
from postscan.core.errors import NotAdministrator
from postscan.core.model.job import Job, JobDocument, JobToken
from postscan.core.model.principal import Principal, Proof, User
from postscan.core.model.process import Instructions, ScanProcess
from postscan.core.model.records import AuditLine
from postscan.core.service.administration.callers import KEPT_SECONDS, CallerActivity, Callers
from postscan.core.settings import Settings
from postscan.core.store import jobs
from postscan.core.store.database import pages
from postscan.plugins.testing.runner import EXAMPLE_TIME, FakeClock

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
NOW = EXAMPLE_TIME
OLD = NOW - timedelta(days=2)


@pytest.fixture
def engine(tmp_path: Path, settings: Settings) -> Iterator[Engine]:
    """An engine on an empty database, whose clock stands still."""
    storage = settings.storage.model_copy(update={"data_dir": tmp_path / "of-callers"})
    databases.migrated(storage.url)
    new = Engine(settings.model_copy(update={"storage": storage}), AnyProcess(), FakeClock())
    with contextlib.closing(new):
        yield new


def make(engine: Engine, by: Principal, number: int = 1, images: int = 0, ago: timedelta = timedelta()) -> None:
    """Store jobs of a caller, each a second older than the one before."""
    process = ScanProcess("P", "Invoices", "", Instructions("", ()))
    with engine.store.writing() as db:
        for place in range(number):
            at = NOW - ago - timedelta(seconds=place + 1)
            name = f"{by.name} {at.isoformat()}"
            made = Job.create(
                JobToken(f"{hash(name):036d}"[:36]), by, User(SID, SID), process, instructions("copy"), at
            )
            for id in range(1, images + 1):
                made.receive(JobDocument(id, "png", 10, "0" * 64, f"{name}/{id}"), at)
            jobs.insert(db, made)


def refuse(engine: Engine, who: Principal, number: int, ago: timedelta = timedelta()) -> None:
    """Write lines about refused requests."""
    engine.store.record(*(AuditLine.of(who, "get", "x", NOW - ago, "refused") for _ in range(number)))


def of(engine: Engine, by: Principal) -> CallerActivity:
    """Return what one caller has done."""
    return next(one for one in engine.callers.all(ADMIN).callers if one.name == by.name)


def test_jobs_and_refusals_of_a_day_are_counted_by_caller(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several parts; older ones do not count."""
    monkeypatch.setattr(pages, "PART", 3)
    make(engine, BORIS, 2, ago=timedelta(days=2))
    make(engine, ANNA, 8)
    make(engine, BORIS, 2, ago=timedelta(hours=3))
    refuse(engine, BORIS, 2, ago=timedelta(days=2))
    refuse(engine, BORIS, 4)
    found = engine.callers.all(ADMIN)

    assert (found.jobs_since, found.refusals_since) == (None, None)
    assert (of(engine, ANNA).jobs, of(engine, ANNA).refusals) == (8, 0)
    assert (of(engine, BORIS).jobs, of(engine, BORIS).refusals) == (2, 4)
    assert of(engine, ANNA).last_job == NOW - timedelta(seconds=1)
    assert of(engine, BORIS).last_job == NOW - timedelta(hours=3, seconds=1)


def test_a_caller_without_recent_jobs_is_there_while_the_spool_keeps_its_images(engine: Engine) -> None:
    """With its share of what a caller may store."""
    make(engine, ANNA, images=3, ago=timedelta(days=2))
    share = of(engine, ANNA).share

    assert of(engine, ANNA).jobs == 0
    assert share is not None
    assert (share.documents, share.most, share.is_full) == (30, engine.settings.limits.caller_bytes, False)
    assert engine.callers.shares(ADMIN) == [share]


def test_a_count_that_takes_too_long_says_since_when_it_is_whole(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is older is not counted."""
    monkeypatch.setattr(pages, "PART", 3)
    make(engine, ANNA, 9)
    refuse(engine, BORIS, 9)
    clock = FakeClock()
    monkeypatch.setattr(clock, "ticks", iter(range(100)).__next__)
    found = Callers(engine.settings, engine.store, clock).all(ADMIN)

    assert found.jobs_since == NOW - timedelta(seconds=3)
    assert found.refusals_since == NOW
    assert [(one.jobs, one.refusals) for one in found.callers] == [(3, 0), (0, 3)]


def test_no_transaction_is_longer_with_more_jobs_and_lines(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decision 66, for jobs, refusals and shares."""
    monkeypatch.setattr(pages, "PART", 10)
    make(engine, ANNA, 40)
    refuse(engine, BORIS, 40)
    few = longest(engine.callers._count)
    make(engine, ANNA, 400, ago=timedelta(hours=1))
    refuse(engine, BORIS, 400)

    assert 0 < longest(engine.callers._count) <= 1.5 * few


def test_the_numbers_are_kept_for_a_moment(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand who ask cost no more than one; after that they are counted again."""
    make(engine, ANNA)
    first = engine.callers.all(ADMIN)
    make(engine, ANNA, ago=timedelta(hours=1))
    kept = engine.callers.all(ADMIN)
    engine.clock.advance(KEPT_SECONDS)  # type: ignore[attr-defined]

    assert kept is first
    assert of(engine, ANNA).jobs == 2


def test_only_administrators_see_other_callers(engine: Engine) -> None:
    """Names of devices and of users are in the list."""
    with pytest.raises(NotAdministrator):
        engine.callers.all(ANNA)
    with pytest.raises(NotAdministrator):
        engine.callers.shares(ANNA)
