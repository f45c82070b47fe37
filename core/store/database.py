"""Connections whose commits are durable and whose updates are not lost.

SQLite runs with its rollback journal and full syncing. Its write-ahead log can lose commits when several connections
write at once (versions before 3.51.3, except two back-ports), so it is used only with a library that has the fix.
Every writing transaction begins with BEGIN IMMEDIATE: Python's driver would begin only after the first SELECT, and
two processes that read and then write would lose each other's updates without any error.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from postscan.core.errors import StoreBusy, StoreFull

_FIXED: Final = (3, 51, 3)
_BACKPORTS: Final = ((3, 44, 6), (3, 50, 7))
_PAUSE: Final = 0.001  # seconds

Transaction = sa.Connection
"""An open transaction, for modules that pass it on to functions of the store and write no SQL themselves."""


def connect(url: str, busy_seconds: float) -> tuple[sa.Engine, sa.Engine]:
    """Return the engine that writes and the one that only reads.

    Make the folder of an SQLite file if it is missing.
    """
    if not url.startswith("sqlite"):
        engine = sa.create_engine(url, pool_pre_ping=True, pool_size=8)
        return engine, engine
    file = sa.make_url(url).database
    if file:
        Path(file).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return _sqlite(url, busy_seconds, "BEGIN IMMEDIATE"), _sqlite(url, busy_seconds, "BEGIN")


def journal_mode(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> str:
    """Return the journal mode that is safe with this SQLite library."""
    fixed = version >= _FIXED or any(version[:2] == port[:2] and version >= port for port in _BACKPORTS)
    return "WAL" if fixed else "DELETE"


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Translate errors of an unavailable database into `StoreBusy`, and those of a full disk into `StoreFull`."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.TimeoutError) as error:
        kind = StoreFull if _is_full(error) else StoreBusy
        raise kind(f"the database does not answer: {error.args[0] if error.args else error}") from error


def _is_full(error: sa.exc.SQLAlchemyError) -> bool:
    """Return whether SQLite has found no room: for its file or journal, or for the index of its write-ahead log."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


def _sqlite(url: str, busy_seconds: float, begin: str) -> sa.Engine:
    # Keep every connection: opening one takes the database's lock, and readers would wait for each other.
    engine = sa.create_engine(url, connect_args={"check_same_thread": False}, poolclass=sa.QueuePool, pool_size=0)
    timeout = int(busy_seconds * 1000)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions
        for pragma in (
            f"busy_timeout={timeout}",
            f"journal_mode={journal_mode()}",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        sqlite: Any = connection.connection.dbapi_connection
        sqlite.execute("PRAGMA busy_timeout=0")
        try:
            _begin_locked(sqlite, begin, busy_seconds)
        except sqlite3.OperationalError as error:
            raise sa.exc.OperationalError(begin, None, error) from error
        finally:
            sqlite.execute(f"PRAGMA busy_timeout={timeout}")

    return engine


def _begin_locked(sqlite: sqlite3.Connection, begin: str, busy_seconds: float) -> None:
    """Begin a transaction, and take its first lock.

    SQLite's own busy handler polls ever less often, finally every 100 ms. Beside a writer with a thousand commits a
    second it was seen to miss every gap for seconds; so this polls every millisecond.
    """
    until = time.monotonic() + busy_seconds
    while True:
        try:
            sqlite.execute(begin)
            sqlite.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            sqlite.rollback()
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_PAUSE)
        else:
            return
