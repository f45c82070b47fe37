"""Try to lose commits by the WAL-reset race of SQLite, with the lock that keeps writers and copies of the log apart.

    python -m campaigns reset [SECONDS] [without-lock]

Versions of SQLite before 3.51.3 can lose commits when one connection begins to copy the write-ahead log into the
database while another one begins the log anew (https://www.sqlite.org/wal.html, the WAL-reset bug): the first one has
read the header of the old log, and marks as many pages of the new log as copied. Later copies skip those pages.

Two processes write as the product does, and two copy the log, under the lock that the product holds while it copies.
One of them has the database in its memory map (`PRAGMA mmap_size`), which it releases between the two steps of the
race: that takes about a millisecond, in which the others go on. Each commit first compares what its process committed
before. `without-lock` removes the lock; then commits are lost within half a minute, unless the library has the
fix.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing as mp
import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final
from unittest import mock

import sqlalchemy as sa

from postscan.core.errors import StoreBusy
from postscan.core.store.database import Database, write_lock
from postscan.core.store.database.gate import all_entered
from postscan.core.store.database.sqlite import SQLite

MAPPED_BYTES: Final = 64 * 2**20
ROWS: Final = 200
_MEMORY: Final = Path("/dev/shm")
_BUSY_SECONDS: Final = 30.0

_OURS: Final = sa.text("SELECT id, number FROM one WHERE writer = :writer AND id BETWEEN :first AND :last")
_CHANGE: Final = sa.text("UPDATE one SET number = :number WHERE writer = :writer AND id BETWEEN :first AND :last")


@dataclass(frozen=True)
class Found:
    """What the processes did, and the first sign of a lost commit; "" if there was none."""

    seconds: float
    commits: int
    copies: int
    lost: str

    def __str__(self) -> str:
        verdict = self.lost or "no commit is lost"
        return f"{self.seconds:.0f} s, {self.commits:,} commits, {self.copies:,} copies of the log: {verdict}"


def run(*arguments: str) -> int:
    """Race for the seconds that are given, a minute by default; return the exit code."""
    numbers = [one for one in arguments if one != "without-lock"]
    found = race(seconds=float(numbers[0]) if numbers else 60.0, locked="without-lock" not in arguments)
    print(f"SQLite {sqlite3.sqlite_version}, {found}")
    return 1 if found.lost else 0


def race(*, seconds: float = math.inf, commits: float = math.inf, locked: bool = True) -> Found:
    """Let all processes race until a commit is lost, the seconds are over, or each writer has made so many commits."""
    processes = mp.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="reset-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as home:
        url = f"sqlite:///{home}/race.sqlite"
        _create(url)
        over, ready, told = processes.Event(), processes.Semaphore(0), processes.SimpleQueue()
        roles = [(_write, 0), (_write, 1), (_copy, 0), (_copy, MAPPED_BYTES)]
        racers = [
            processes.Process(target=role, args=(url, which, commits, locked, ready, over, told), daemon=True)
            for role, which in roles
        ]
        for racer in racers:
            racer.start()
        for _ in racers:
            ready.acquire()
        begun = time.monotonic()
        over.wait(seconds if seconds < math.inf else None)
        taken = time.monotonic() - begun
        over.set()
        results = [told.get() for _ in racers]
        for racer in racers:
            racer.join()
        signs = [sign for _, _, sign in results if sign] or _broken(url)
    return Found(taken, sum(one[0] for one in results), sum(one[1] for one in results), "; ".join(signs))


def _create(url: str) -> None:
    """Make the rows of the writers, and rows that fill the memory map; a server has chosen the write-ahead log."""
    database = Database(url, busy_seconds=_BUSY_SECONDS)
    with contextlib.closing(database), database.served(print), database.writing() as db:
        db.exec_driver_sql(
            "CREATE TABLE one (writer INTEGER, id INTEGER, number INTEGER, bytes BLOB, PRIMARY KEY (writer, id))"
        )
        db.exec_driver_sql("CREATE TABLE filler (bytes BLOB)")
        rows = sa.text("INSERT INTO one VALUES (:writer, :id, 0, zeroblob(3000))")
        db.execute(rows, [{"writer": writer, "id": id} for writer in (0, 1) for id in range(ROWS)])
        for _ in range(MAPPED_BYTES // 2**20):
            db.exec_driver_sql("INSERT INTO filler VALUES (zeroblob(1048576))")


def _write(url: str, writer: int, most: float, locked: bool, ready: Any, over: Event, told: Any) -> None:
    """Commit changes of one page and of many, and compare the rows with those of the last commits."""
    chance, commits, sign = random.Random(writer), 0, ""
    expected = dict.fromkeys(range(ROWS), 0)
    with _without(locked), contextlib.closing(Database(url, busy_seconds=_BUSY_SECONDS)) as database:
        ready.release()
        while not over.is_set() and commits < most:
            first = chance.randrange(ROWS // 2)
            span = {"writer": writer, "first": first, "last": first + chance.choice((0,) * 7 + (ROWS // 2 - 1,))}
            try:
                with database.writing() as db:
                    found = {row.id: row.number for row in db.execute(_OURS, span)}
                    wrong = {id: number for id, number in found.items() if number != expected[id]}
                    if wrong:
                        sign = f"writer {writer} finds {len(wrong)} of {len(found)} rows as they were before a commit"
                        break
                    db.execute(_CHANGE, span | {"number": commits + 1})
            except StoreBusy:
                continue
            except sa.exc.DatabaseError as error:
                sign = str(error.orig)
                break
            commits += 1
            expected |= dict.fromkeys(found, commits)
            time.sleep(chance.random() * 0.002)
    over.set()
    told.put((commits, 0, sign))


def _copy(url: str, mapped: int, _: float, locked: bool, ready: Any, over: Event, told: Any) -> None:
    """Copy the log again and again; with *mapped* bytes in the memory map of the connection."""
    copies, sign = 0, ""
    backend = SQLite(url, _BUSY_SECONDS)
    copier = sqlite3.connect(str(backend.file), isolation_level=None, timeout=0)
    with _without(locked), contextlib.closing(backend), contextlib.closing(copier):
        copier.execute(f"PRAGMA mmap_size={2 * mapped}")
        ready.release()
        while not over.is_set() and not sign:
            try:
                if mapped:
                    copier.execute("SELECT sum(length(bytes)) FROM filler").fetchone()
                with all_entered(backend.writers, urgent=False, until=time.monotonic() + _BUSY_SECONDS):
                    busy, _, _ = copier.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                copies += not busy
            except (sqlite3.OperationalError, StoreBusy):
                pass  # locked
            except sqlite3.DatabaseError as error:
                sign = str(error)
            if not mapped:
                time.sleep(0.001)
    over.set()
    told.put((0, copies, sign))


def _broken(url: str) -> list[str]:
    with contextlib.closing(Database(url)) as database, database.reading() as db:
        found = [str(line) for line in db.exec_driver_sql("PRAGMA integrity_check(3)").scalars()]
    return [] if found == ["ok"] else found


def _without(locked: bool) -> contextlib.AbstractContextManager[object]:
    """Remove the lock from this process while the body runs, unless it is *locked*."""
    return contextlib.nullcontext() if locked else mock.patch.object(write_lock.WriteLock, "entered", _entered)


@contextlib.contextmanager
def _entered(_: write_lock.WriteLock, *, urgent: bool, until: float) -> Iterator[None]:
    yield
