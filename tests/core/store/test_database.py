"""How SQLite is opened: durable, and how a transaction waits for its lock."""

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
from postscan.core.store.database.sqlite import SQLite


def test_every_connection_syncs_fully_and_begins_at_once(sqlite_url: str) -> None:
    """synchronous=FULL (2) and foreign keys on both engines; the writer's transaction locks before it reads."""
    backend = SQLite(sqlite_url, 0.1)
    writer, reader = backend.writer, backend.reader
    for engine in (writer, reader):
        with engine.begin() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1

    with writer.begin(), pytest.raises(sa.exc.OperationalError, match="locked"), writer.begin():
        pass

    backend.close()


def test_a_reader_finds_the_short_gaps_of_a_busy_writer(tmp_path: Path) -> None:
    """The database is locked for some 60 ms, free for 2 ms, and so on: everybody who waits gets in before long."""
    file = tmp_path / "busy.db"
    backend = SQLite(f"sqlite:///{file}", 5.0)
    writer, reader = backend.writer, backend.reader
    with writer.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE page (number INTEGER)")

    with locked_most_of_the_time(file):
        for _ in range(20):
            with reader.begin() as connection:
                assert connection.exec_driver_sql("SELECT count(*) FROM page").scalar() == 0
            time.sleep(0.01)  # until the gap is over

    backend.close()


def test_who_waits_for_nothing_is_told_so_after_the_patience(tmp_path: Path) -> None:
    """A database that stays locked is `StoreBusy`, and the connection can be used again later."""
    file = tmp_path / "locked.db"
    backend = SQLite(f"sqlite:///{file}", 0.1)
    writer, reader = backend.writer, backend.reader
    with writer.begin():
        pass
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as locker:
        locker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusy, match="locked"), database.translated(), reader.begin():
            pass
        locker.rollback()
        with reader.begin() as connection:
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 100

    backend.close()


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
