"""What the database does for a Create and a Cancel: a count of statements and of pages, so that it does not grow."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import databases
import pytest
import sqlalchemy as sa
from conftest import ANNA, AnyProcess
from works import SID, instructions

from postscan.core.engine import Engine
from postscan.core.model.job import JobToken
from postscan.core.model.records import RequestKey
from postscan.core.settings import Settings

_OBJECT = re.compile(r"(?:FROM|INTO|UPDATE) (\w+)")


@pytest.fixture
def core(settings: Settings, migrated_url: str) -> Iterator[Engine]:
    """An engine that is not running, on each kind of database."""
    storage = settings.storage.model_copy(update={"database": migrated_url})
    with contextlib.closing(Engine(settings.model_copy(update={"storage": storage}), AnyProcess())) as core:
        yield core


def create(core: Engine) -> JobToken:
    """Create a job with two filters by a request that may be repeated."""
    return core.service.create(ANNA, SID, "P", instructions("copy", "copy"), _request())


def cancel(core: Engine, token: str) -> None:
    """Cancel it likewise."""
    core.service.cancel(token, ANNA, _request())


def test_each_row_is_written_by_one_statement_and_none_is_read_twice(core: Engine) -> None:
    """One transaction for each; the responses are read only when a request is a repeated one."""
    cancel(core, create(core))  # the first statements of a connection belong to it

    created, token = _statements(lambda: create(core))
    cancelled, _ = _statements(lambda: cancel(core, token))

    event = "INSERT event" if core.store.has_one_writer else "INSERT unnumbered_event"
    assert created == ["INSERT job", "INSERT step", event, "INSERT audit", "INSERT request", "SELECT job"]
    assert cancelled == [
        "SELECT job",
        "SELECT step",
        "SELECT document",
        "UPDATE job",
        "UPDATE step",
        event,
        "INSERT audit",
        "INSERT request",
    ]


def test_a_cancel_writes_the_columns_that_it_changes(core: Engine) -> None:
    """An index of a column that is not written is not touched."""
    token, written = create(core), list[str]()
    _statements(lambda: cancel(core, token), written.append)

    columns = {
        re.findall(r"UPDATE (\w+)", one)[0]: re.findall(r"(?:SET|,) *(\w+)=", one.partition(" WHERE")[0])
        for one in written
        if one.startswith("UPDATE")
    }
    assert {table: sorted(names) for table, names in columns.items()} == {
        "job": ["completed", "reasons", "state", "version"],
        "step": ["receipt", "state"],
    }


def test_a_create_and_a_cancel_write_few_pages(settings: Settings) -> None:
    """One page for each table and each index that has another entry, since a page is what the journal takes."""
    file = Path(sa.make_url(databases.migrated(settings.storage.url)).database or "")
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=wal")
    with contextlib.closing(Engine(settings, AnyProcess())) as core:
        cancel(core, create(core))

        created, token = _pages(file, lambda: create(core))
        cancelled, _ = _pages(file, lambda: cancel(core, token))

    assert created <= 17
    assert cancelled <= 15


def _pages(file: Path, work: Callable[[], Any]) -> tuple[int, Any]:
    """Return how many pages *work* appends to the write-ahead log, and its result."""
    log = Path(f"{file}-wal")
    before = log.stat().st_size
    result = work()
    return (log.stat().st_size - before) // 4120, result  # a page and the header of its frame


def _request() -> RequestKey:
    return RequestKey(f"urn:uuid:{uuid.uuid4()}", "0" * 64)


def _statements(work: Callable[[], Any], seen: Callable[[str], object] = lambda _sql: None) -> tuple[list[str], Any]:
    """Return the verb and the table of each statement of *work* that reads or writes a table, and its result."""
    found = []

    def record(_db: object, _cursor: object, sql: str, *_others: object) -> None:
        sql = " ".join(sql.split())
        seen(sql)
        if table := _OBJECT.search(sql):
            found.append(f"{sql.split()[0]} {table[1]}")

    sa.event.listen(sa.Engine, "before_cursor_execute", record)
    try:
        return found, work()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", record)
