"""What the database does for a verb, a list, a sweep: no more beside many ended jobs than beside few.

Instructions of SQLite's virtual machine are counted: each row or index entry that a statement looks at takes some.
"""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import databases
import pytest
import sqlalchemy as sa
from conftest import ANNA, AnyProcess
from works import SID, instructions

from postscan.core.engine import Engine
from postscan.core.errors import JobNotFound
from postscan.core.model.job import Job, JobDocument, JobToken, JobTurn
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.process import Instructions, ScanProcess
from postscan.core.model.records import Delivery, RequestKey
from postscan.core.model.states import FilterVerb, JobReason
from postscan.core.service.administration.listing import JobQuery
from postscan.core.settings import Settings
from postscan.core.spool import retention as rules
from postscan.core.store import events, jobs, outbox
from postscan.core.store.database import pages
from postscan.core.store.schema import JOB
from postscan.plugins.testing.runner import EXAMPLE_TIME, EXAMPLE_USER

FEW, MANY = 10, 150  # of each kind
ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
CALLER = Principal("device:192.0.2.77", Proof.ADDRESS)
"""A caller with few jobs; all others are ANNA's."""

Step = tuple[str, Callable[[], Any]]
Filled = Callable[[int], contextlib.AbstractContextManager[Engine]]


def finish(job: Job) -> None:
    """End a job by its filters."""
    job.end(EXAMPLE_TIME)
    job.claim(EXAMPLE_TIME)
    job.start(0, EXAMPLE_TIME)
    job.report(0, FilterVerb.SUCCEED, EXAMPLE_TIME)
    job.finish(EXAMPLE_TIME)


KINDS: dict[str, tuple[Callable[[Job], None], float]] = {
    "kept": (finish, 1.0),
    "removed": (finish, 12.0),
    "failed": (lambda job: job.fail(JobReason.PROCESSING_FAILED, EXAMPLE_TIME), 1000.0),
    "timed out": (lambda job: job.expire(EXAMPLE_TIME), 12.0),
    "canceled": (lambda job: job.cancel(EXAMPLE_TIME), 12.0),
}
"""How a job of each kind ends, and how many hours ago: long ago, if its images are kept until they are discarded."""


@pytest.fixture
def filled(tmp_path: Path, settings: Settings) -> Filled:
    """Open an engine that is not running, beside so many ended jobs of each kind."""

    @contextlib.contextmanager
    def open(number: int) -> Iterator[Engine]:
        storage = settings.storage.model_copy(update={"data_dir": tmp_path / str(number)})
        databases.migrated(storage.url)
        with contextlib.closing(Engine(settings.model_copy(update={"storage": storage}), AnyProcess())) as core:
            process = ScanProcess("P", "Invoices", "", Instructions("", ()))
            hours = {}
            with core.store.writing() as db:
                for kind, (end, age) in KINDS.items():
                    for later in range(number):
                        token = JobToken(str(uuid.uuid4()))
                        job = Job.create(token, ANNA, EXAMPLE_USER, process, instructions("copy"), EXAMPLE_TIME)
                        job.receive(JobDocument(1, "png", 10, "0" * 64, f"{token}/1"), EXAMPLE_TIME)
                        end(job)
                        job.completed = EXAMPLE_TIME + timedelta(seconds=later)
                        job.images_kept = kind != "removed"
                        jobs.insert(db, job)
                        hours[token] = age
                ticks = core.clock.ticks()
                query = sa.update(JOB).where(JOB.c.token == sa.bindparam("of"))
                db.execute(
                    query.values(ended_ticks=sa.bindparam("ticks")),
                    [{"of": token, "ticks": ticks - age * rules.HOUR} for token, age in hours.items()],
                )
            yield core

    return open


def steps(core: Engine) -> Iterator[Step]:
    """Yield everything that the product does while it has nothing to clean up, step by step."""
    service, store, now = core.service, core.store, core.clock.now
    tokens: list[JobToken] = []

    def create() -> None:
        tokens.append(service.create(CALLER, SID, "P", instructions("copy"), RequestKey(str(uuid.uuid4()), "0")))

    def send() -> None:
        with service.open_image(tokens[-1], CALLER, 1, "png", RequestKey(str(uuid.uuid4()), "0")) as sink:
            sink.write(b"page")

    def change(verb: Callable[[Job], object]) -> None:
        with store.change(tokens[-1]) as job:
            verb(job)

    about = Delivery(0, 1, "/srv", "page.png", published=True)
    ended = service.history(ADMIN, 1)[0].token
    yield "create", create
    yield "send", send
    yield "end", lambda: service.end(tokens[-1], CALLER, RequestKey(str(uuid.uuid4()), "0"))
    yield "claim", lambda: store.claim(now(), "a holder")
    yield "start a filter", lambda: change(lambda job: job.start(0, now()))
    yield "progress", lambda: store.record_progress(JobTurn(tokens[-1], 1), 0, "half")
    yield "grant", lambda: store.grant(JobTurn(tokens[-1], 1), 0, 1, about, now())
    yield "confirm", lambda: store.confirm(JobTurn(tokens[-1], 1), 0, about)
    yield "finish a filter", lambda: change(lambda job: job.report(0, FilterVerb.SUCCEED, now()))
    yield "finish", lambda: change(lambda job: job.finish(now()))
    yield "remove images", lambda: core.retention.remove_images(store.load(tokens[-1]))
    yield "create again", create
    yield "send again", send
    yield "cancel", lambda: service.cancel(tokens[-1], CALLER, RequestKey(str(uuid.uuid4()), "0"))
    yield "get", lambda: store.load(ended, ANNA)
    yield "show", lambda: (service.events(ended, ADMIN), service.deliveries(ended, ADMIN), service.audit(ADMIN, ended))
    yield "list", lambda: service.active(ADMIN)
    yield "list of a caller", lambda: service.active(CALLER)
    yield "history", lambda: service.history(ADMIN, 10)
    yield "search", lambda: core.listing.search(ADMIN, most=3)
    yield "search of a user", lambda: core.listing.search(ADMIN, JobQuery(user=SID), most=3)
    yield "state", lambda: service.state(ADMIN)
    yield "audit", lambda: service.audit(ADMIN, limit=10)
    yield "room of a caller", lambda: store.spooled_bytes(ANNA.name)
    yield "room of all", lambda: (list(store.usages()), store.disposable_bytes())
    yield "poll", store.in_progress
    yield "silent devices", lambda: list(core.sweeper.expire())
    yield "first sweep", core.retention.sweep
    yield "sweep", core.retention.sweep
    yield "oldest images", lambda: next(store.disposable(), None)
    yield "files of open jobs", lambda: list(store.open_blobs())
    yield "usable filters", lambda: store.record_filters(["urn:acme:copy"], now())
    with store.reading() as db:
        newest = events.newest(db)
    yield "events", lambda: outbox.after(store.reading, newest - 3, 100, None)
    yield "events of a caller", lambda: outbox.after(store.reading, newest - 3, 100, CALLER)
    yield "callers with events", lambda: read(core, lambda db: outbox.owners_since(db, newest - 3))


def read(core: Engine, query: Callable[[sa.Connection], object]) -> None:
    """Read the database once."""
    with core.store.reading() as db:
        query(db)


def counted(steps: Iterable[Step]) -> Counter[str]:
    """Return the instructions of each step."""
    found: Counter[str] = Counter()
    name = "between"

    def count() -> int:
        found[name] += 1
        return 0

    def watch(connection: Any, _record: object, _proxy: object) -> None:
        connection.set_progress_handler(count, 1)

    sa.event.listen(sa.pool.Pool, "checkout", watch)
    try:
        for name, step in steps:
            step()
            name = "between"
    finally:
        sa.event.remove(sa.pool.Pool, "checkout", watch)
    del found["between"]
    return found


def grown(few: Counter[str], many: Counter[str]) -> dict[str, tuple[int, int]]:
    """Return the steps that cost more beside many jobs, and what they cost beside few and beside many."""
    return {name: (few[name], many[name]) for name in many if many[name] > 1.1 * few[name] + 20}


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a page of disposable jobs be short beside few jobs too."""
    monkeypatch.setattr(pages, "PAGE", 5)


def test_nothing_costs_more_beside_more_ended_jobs(filled: Filled) -> None:
    """Fifteen times as many jobs, and the same work: no statement looks at all of them, or at all of one kind."""
    with filled(FEW) as core:
        few = counted(steps(core))
    with filled(MANY) as core:
        many = counted(steps(core))

    assert grown(few, many) == {}
    assert min(few.values()) > 5  # each step was counted


def test_a_sweep_looks_at_what_it_removes_and_not_at_what_stays(filled: Filled) -> None:
    """One old job has no images any more and is dropped; those of another one are the oldest that are kept."""

    def removals(core: Engine) -> Iterator[Step]:
        token, other = (one.token for one in itertools.islice(core.store.disposable(), 2))
        core.store.record_images_removed(token)
        old = core.clock.ticks() - 2000 * rules.HOUR
        with core.store.writing() as db:
            db.execute(sa.update(JOB).where(JOB.c.token.in_([token, other])).values(ended_ticks=old))
        yield "oldest images", lambda: next(core.store.disposable(old + 1))
        yield "drop events", lambda: core.store.drop_repository_events(old + 1)
        yield "drop jobs", lambda: core.store.drop_jobs(old + 1, keep=10)
        with pytest.raises(JobNotFound):
            core.store.load(token)

    with filled(FEW) as core:
        few = counted(removals(core))
    with filled(MANY) as core:
        many = counted(removals(core))

    assert grown(few, many) == {}
