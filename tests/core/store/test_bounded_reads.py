"""A transaction that reads looks at a bounded number of rows, however many jobs there are, and however large they are.

Instructions of SQLite's virtual machine are counted for each transaction: each row or index entry that a statement
looks at takes some. PostgreSQL runs the same statements.
"""

from __future__ import annotations

import contextlib
import math
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import databases
import pytest
import sqlalchemy as sa
from conftest import ANNA, BORIS, AnyProcess
from reads import longest
from works import instructions

from postscan.core.engine import Engine
from postscan.core.model.accounts.account import Account
from postscan.core.model.accounts.session import Session
from postscan.core.model.job import Job, JobDocument, JobToken
from postscan.core.model.principal import Principal, Proof, Role, at_console
from postscan.core.model.process import Instructions, ScanProcess
from postscan.core.model.subscription import EventService, Sink, Subscription
from postscan.core.service.administration import audit_trail
from postscan.core.service.administration.listing import JobGroup, JobListing, JobQuery, SearchCursor
from postscan.core.service.administration.metrics.overview import Overview
from postscan.core.settings import Settings
from postscan.core.store import events, jobs, outbox
from postscan.core.store.callers import accounts, sessions, subscriptions
from postscan.core.store.database import pages
from postscan.core.store.schema import DELIVERY, USAGE
from postscan.doctor import machine
from postscan.plugins.testing.runner import EXAMPLE_TIME, EXAMPLE_USER, FakeClock

PAGE, ROWS, LIMIT = 5, 40, 20
FEW, SMALL = 12, 4
MANY, LARGE = 80, 30
"""Jobs of each kind, and images of each job; two large jobs have more than `ROWS` rows."""

MOST_ROWS = 5000
ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
SOON = datetime.now(UTC)
PERSON = at_console("oidc:ann", Proof.OIDC, Role.OWNER, EXAMPLE_USER.sid)
BEFORE, LATER = EXAMPLE_TIME - timedelta(days=1), EXAMPLE_TIME + timedelta(days=1)

READS: dict[str, Callable[[Engine], object]] = {
    "open jobs": lambda core: core.service.active(ADMIN),
    "open jobs of a caller": lambda core: core.service.active(ANNA),
    "ended jobs": lambda core: core.service.history(ADMIN, 1000),
    "ended jobs of a caller without any": lambda core: core.service.history(BORIS),
    "open jobs of a person": lambda core: core.service.active(PERSON),
    "ended jobs of a person": lambda core: core.service.history(PERSON, 1000),
    "state for a person": lambda core: core.service.state(PERSON),
    "search of a person": lambda core: core.listing.search(PERSON),
    "search of a person for a text": lambda core: core.listing.search(PERSON, JobQuery(text="voice")),
    "search of a person without any": lambda core: core.listing.search(replace(PERSON, sid="S-1-5-21-1-2-3-9")),
    "jobs of a person by state": lambda core: core.listing.counts(PERSON),
    "sessions": lambda core: core.sessions.all(ADMIN),
    "a session": lambda core: core.sessions.find("none"),
    "state of the server": lambda core: core.service.state(ADMIN),
    "state for a caller": lambda core: core.service.state(ANNA),
    "files of open jobs": lambda core: list(core.store.open_blobs()),
    "owners of jobs": lambda core: core.store.owners([one.token for one in core.store.ended_jobs(limit=1000)]),
    "files of jobs": lambda core: core.store.blobs([one.token for one in core.store.ended_jobs(limit=1000)]),
    "silent devices": lambda core: core.store.idle(math.inf),
    "jobs that sources left": lambda core: list(core.store.jobs_of_sources()),
    "images to remove": lambda core: list(core.store.disposable()),
    "bytes to remove": lambda core: core.store.disposable_bytes(),
    "outputs of a job": lambda core: core.store.deliveries("outputs"),
    "quotas": lambda core: list(machine._quotas(core.store, core.settings)),
    "subscriptions": lambda core: core.subscriptions.live(),
    "subscriptions in force": lambda core: core.subscriptions.all(ADMIN),
    "events that wait": lambda core: core.subscriptions.backlog(BORIS, 0),
    "callers": lambda core: core.callers.all(ADMIN),
    "accounts": lambda core: core.accounts.all(ADMIN),
    "an account": lambda core: core.accounts.user_of("nobody", "mail"),
    "jobs of scan processes": lambda core: core.listing.processes(ADMIN),
    "search": lambda core: core.listing.search(ADMIN),
    "search of a user": lambda core: core.listing.search(ADMIN, JobQuery(user=EXAMPLE_USER.sid)),
    "search for a text": lambda core: core.listing.search(ADMIN, JobQuery(text="voice")),
    "search for a text that no job has": lambda core: core.listing.search(ADMIN, JobQuery(text="nowhere")),
    "search in a time": lambda core: core.listing.search(ADMIN, JobQuery(begin=BEFORE, end=LATER, text="voice")),
    "search in a time behind a job": lambda core: core.listing.search(
        ADMIN,
        JobQuery(begin=BEFORE, end=LATER, text="voice"),
        SearchCursor(EXAMPLE_TIME + timedelta(hours=1), JobToken("job")),
    ),
    "search for a destination": lambda core: core.listing.search(ADMIN, JobQuery(destination="/srv")),
    "search for a device": lambda core: core.listing.search(ADMIN, JobQuery(device="192.0.2.8")),
    "search of a caller without any": lambda core: core.listing.search(BORIS),
    "metrics": lambda core: core.metrics.update(),
    "search of open jobs": lambda core: core.listing.search(ADMIN, JobQuery(group=JobGroup.OPEN)),
    "search of failed jobs": lambda core: core.listing.search(ADMIN, JobQuery(group=JobGroup.FAILED)),
    "jobs of a group by state": lambda core: core.listing.group_counts(ADMIN, JobGroup.OPEN),
    "filters of a day": lambda core: Overview(core.store, FakeClock()).filters(ADMIN),
    "spool": lambda core: core.overview.spool(ADMIN),
    "jobs by state": lambda core: core.listing.counts(ADMIN),
    "jobs by hour": lambda core: JobListing(core.store, FakeClock()).hours(ADMIN),
    "events of many jobs": lambda core: core.subscriptions.after(None, 0, LIMIT),
    "events of jobs with long histories": lambda core: core.subscriptions.after(None, newest(core) - LIMIT, LIMIT),
    "events of a caller's jobs with long histories": lambda core: core.subscriptions.after(
        ANNA, newest(core) - LIMIT, LIMIT
    ),
}


@pytest.fixture
def filled(tmp_path: Path, settings: Settings) -> Callable[[int, int], contextlib.AbstractContextManager[Engine]]:
    """Open an engine with so many jobs of each kind, with so many images each."""

    @contextlib.contextmanager
    def open(number: int, images: int) -> Iterator[Engine]:
        storage = settings.storage.model_copy(update={"data_dir": tmp_path / str(number)})
        databases.migrated(storage.url)
        with contextlib.closing(Engine(settings.model_copy(update={"storage": storage}), AnyProcess())) as core:
            with core.store.writing() as db:
                fill(db, number, images)
            while core.store.record_ended(100.0):
                pass
            yield core

    return open


def fill(db: sa.Connection, number: int, images: int) -> None:
    """Store jobs, outputs of one job, callers who use the spool, and subscriptions; last the ends of some jobs."""
    names = [str(uuid.uuid4()) for _ in range(number)]
    pending = []
    for place, name in enumerate(names):
        jobs.insert(db, job(f"creating {name}"[:36], place, images))
        ended = job(f"ended {name}"[:36], place, images)
        ended.cancel(EXAMPLE_TIME + timedelta(seconds=place))
        jobs.insert(db, ended)
        pending.append(job(name, place, images))
        jobs.insert(db, pending[-1])
        sink = Sink("http://192.0.2.1/", "192.0.2.1", "")
        accounts.insert(db, Account(name, "", "S-1-5-21-1-2-3-1001", (), EXAMPLE_TIME, EXAMPLE_TIME))
        session = Session(PERSON, "oidc", SOON, SOON, SOON)
        sessions.insert(db, sessions.StoredSession(name, session, ""))
        subscriptions.insert(
            db, Subscription(name, EventService.PROCESSING, BORIS, sink, None, (), "", False, math.inf, 0)
        )
    jobs.insert(db, job("outputs", 0, 1))
    output = {"token": "outputs", "position": 0, "destination": "/srv", "name": "a", "published": True}
    db.execute(sa.insert(DELIVERY), [{**output, "document": id, "at": EXAMPLE_TIME} for id in range(number)])
    db.execute(sa.insert(USAGE), [{"owner": name, "kept_bytes": 1, "disposable_bytes": 1} for name in names])
    for one in pending:
        stored = jobs.Stored.of(one)
        one.end(EXAMPLE_TIME)
        jobs.save(db, one, stored)


def job(token: str, place: int, images: int) -> Job:
    """Return a job of ANNA that has received images."""
    process = ScanProcess("P", "Invoices", "", Instructions("", ()))
    at = EXAMPLE_TIME + timedelta(seconds=place)
    made = Job.create(JobToken(token), ANNA, EXAMPLE_USER, process, instructions("copy"), at)
    for id in range(1, images + 1):
        made.receive(JobDocument(id, "png", 10, "0" * 64, f"{token}/{id}"), at)
    return made


def newest(core: Engine) -> int:
    """Return the number of the newest event."""
    with core.store.reading() as db:
        return events.newest(db)


def lengths(core: Engine) -> dict[str, int]:
    """Return the instructions of the longest transaction of each read."""
    return {name: longest(partial(read, core)) for name, read in READS.items()}


def test_no_transaction_that_reads_is_longer_beside_more_and_larger_jobs(
    filled: Callable[[int, int], contextlib.AbstractContextManager[Engine]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decision 66: lists, sums and events are read in pages, and jobs with many images a few at a time."""
    monkeypatch.setattr(pages, "PAGE", PAGE)
    monkeypatch.setattr(pages, "PART", PAGE)
    monkeypatch.setattr(pages, "ROWS", ROWS)
    monkeypatch.setattr(outbox, "WINDOW", LIMIT)
    with filled(FEW, SMALL) as core:
        few = lengths(core)
    with filled(MANY, LARGE) as core:
        many = lengths(core)

    assert min(few.values()) > 0
    assert {name: (few[name], many[name]) for name in READS if many[name] > 1.5 * few[name]} == {}


def test_no_transaction_that_reads_looks_at_more_rows_than_five_thousand() -> None:
    """Pages of jobs and of the audit trail, with their rows; parts of searches and of events, with keys or jobs."""
    assert pages.PAGE + pages.ROWS + 1 <= MOST_ROWS
    assert 2 * pages.PART <= MOST_ROWS
    assert 2 * outbox.WINDOW <= MOST_ROWS
    assert audit_trail.PAGE <= MOST_ROWS
