"""How SQLite is opened: durable, and never in a mode that its library cannot hold."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from postscan.core.errors import StoreBusy
from postscan.core.store import database


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ((3, 40, 1), "DELETE"),
        ((3, 44, 5), "DELETE"),
        ((3, 44, 6), "WAL"),
        ((3, 50, 6), "DELETE"),
        ((3, 50, 7), "WAL"),
        ((3, 51, 2), "DELETE"),
        ((3, 51, 3), "WAL"),
        ((3, 52, 0), "WAL"),
    ],
)
def test_the_write_ahead_log_is_used_only_where_it_is_mended(version: tuple[int, int, int], mode: str) -> None:
    """Versions that can lose commits between several connections keep the rollback journal."""
    assert database.journal_mode(version) == mode


def test_every_connection_syncs_fully_and_begins_at_once(sqlite_url: str) -> None:
    """synchronous=FULL (2) and foreign keys on both engines; the writer's transaction locks before it reads."""
    writer, reader = database.connect(sqlite_url, 0.1)
    for engine in (writer, reader):
        with engine.begin() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1

    with writer.begin(), pytest.raises(sa.exc.OperationalError, match="locked"), writer.begin():
        pass

    writer.dispose()
    reader.dispose()


def test_a_reader_finds_the_short_gaps_of_a_busy_writer(tmp_path: Path) -> None:
    """The database is locked for some 60 ms, free for 2 ms, and so on: everybody who waits gets in before long."""
    file = tmp_path / "busy.db"
    writer, reader = database.connect(f"sqlite:///{file}", 5.0)
    with writer.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE page (number INTEGER)")

    with locked_most_of_the_time(file):
        for _ in range(20):
            with reader.begin() as connection:
                assert connection.exec_driver_sql("SELECT count(*) FROM page").scalar() == 0
            time.sleep(0.01)  # until the gap is over

    writer.dispose()
    reader.dispose()


def test_who_waits_for_nothing_is_told_so_after_the_patience(tmp_path: Path) -> None:
    """A database that stays locked is `StoreBusy`, and the connection can be used again later."""
    file = tmp_path / "locked.db"
    writer, reader = database.connect(f"sqlite:///{file}", 0.1)
    with writer.begin():
        pass
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as locker:
        locker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusy, match="locked"), database.translated(), reader.begin():
            pass
        locker.rollback()
        with reader.begin() as connection:
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 100

    writer.dispose()
    reader.dispose()


@contextlib.contextmanager
def locked_most_of_the_time(file: Path) -> Iterator[None]:
    """Lock the database from a connection of its own, with short gaps."""
    stop = threading.Event()
    chance = random.Random(7)

    def lock() -> None:
        with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=5)) as locker:
            while not stop.wait(0.002):
                locker.execute("BEGIN EXCLUSIVE")
                time.sleep(chance.uniform(0.03, 0.09))
                locker.rollback()

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
