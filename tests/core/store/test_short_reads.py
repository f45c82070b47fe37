"""No transaction that reads events or the audit trail is long, however much is read: they are read in pages.

Instructions of SQLite's virtual machine are counted for each transaction: each row or index entry that a statement
looks at takes some. PostgreSQL runs the same statements.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import databases
import pytest
from conftest import ANNA, BORIS, AnyProcess
from reads import longest
from works import instructions

from postscan.core.engine import Engine
from postscan.core.model.job import Job, JobDocument, JobToken
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.process import Instructions, ScanProcess
from postscan.core.model.records import AuditLine
from postscan.core.service.administration import audit_trail
from postscan.core.settings import Settings
from postscan.core.store import jobs, outbox
from postscan.core.store.callers import audit
from postscan.core.store.database import pages
from postscan.plugins.testing.runner import EXAMPLE_TIME, EXAMPLE_USER

FEW, MANY = 30, 150
PAGE = 5
LATER = EXAMPLE_TIME + timedelta(days=1)
ADMIN = Principal("local:root", Proof.LOCAL, admin=True)

READS: dict[str, Callable[[Engine], object]] = {
    "events of a job": lambda core: core.store.events("events"),
    "audit trail": lambda core: core.service.audit(ADMIN, limit=1000),
    "audit trail of a job": lambda core: core.service.audit(ADMIN, "audited", limit=1000),
    "export of the audit trail": lambda core: list(core.audit_trail.older_than(LATER, ADMIN)),
    "events for a subscriber": lambda core: core.subscriptions.after(None, 0, PAGE),
    "events for a subscriber with few": lambda core: core.subscriptions.after(BORIS, 0, PAGE),
    "callers with events": lambda core: core.subscriptions.owners_since(0),
    "events that wait": lambda core: core.subscriptions.waiting(None, 0),
    "events that wait for a caller": lambda core: core.subscriptions.waiting(ANNA, 0),
}


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few rows be several pages."""
    for module in (pages, audit_trail):
        monkeypatch.setattr(module, "PAGE", PAGE)
    monkeypatch.setattr(outbox, "WINDOW", PAGE)


@pytest.fixture
def filled(tmp_path: Path, settings: Settings) -> Callable[[int], contextlib.AbstractContextManager[Engine]]:
    """Open an engine with so many open jobs, ended ones, lines of the audit trail, and events of one job."""

    @contextlib.contextmanager
    def open(number: int) -> Any:
        storage = settings.storage.model_copy(update={"data_dir": tmp_path / str(number)})
        databases.migrated(storage.url)
        with contextlib.closing(Engine(settings.model_copy(update={"storage": storage}), AnyProcess())) as core:
            with core.store.writing() as db:
                for place in range(number):
                    jobs.insert(db, job(f"{uuid.uuid4()}", place))
                    ended = job(f"{uuid.uuid4()}", place)
                    ended.cancel(EXAMPLE_TIME + timedelta(seconds=place))
                    jobs.insert(db, ended)
                    audit.write_audit(db, AuditLine.of(ADMIN, "cancel", "audited", EXAMPLE_TIME))
                long = job("events", 0)
                for id in range(2, number):
                    long.receive(JobDocument(id, "png", 1, "0" * 64, f"events/{id}"), EXAMPLE_TIME)
                jobs.insert(db, long)
            yield core

    return open


def job(token: str, place: int) -> Job:
    """Return a job of ANNA with an image."""
    process = ScanProcess("P", "Invoices", "", Instructions("", ()))
    at = EXAMPLE_TIME + timedelta(seconds=place)
    made = Job.create(JobToken(token), ANNA, EXAMPLE_USER, process, instructions("copy"), at)
    made.receive(JobDocument(1, "png", 10, "0" * 64, f"{token}/1"), at)
    return made


@pytest.mark.parametrize("read", READS)
def test_a_transaction_that_reads_is_no_longer_where_there_is_more_to_read(
    filled: Callable[[int], contextlib.AbstractContextManager[Engine]], read: str
) -> None:
    """Decision 66: what is read is read in pages, and no page looks at rows that it does not return."""
    with filled(FEW) as core:
        few = longest(lambda: READS[read](core))
    with filled(MANY) as core:
        many = longest(lambda: READS[read](core))

    assert few > 0
    assert many <= 1.2 * few
