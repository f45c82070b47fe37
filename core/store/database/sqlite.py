"""SQLite: connections whose commits are durable and whose updates are not lost.

SQLite runs with full syncing, and with its write-ahead log where that works (`journal_modes`): then no transaction that
reads keeps a commit out. One transaction writes at a time, of all processes (`write_lock`). It begins with BEGIN
IMMEDIATE: Python's driver would begin only after the first SELECT, and two processes that read and then write would
lose each other's updates without any error.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from postscan.core.store.database import journal_modes
from postscan.core.store.database.backend import UNTIL, Backend
from postscan.core.store.database.file_lock import FileLock
from postscan.core.store.database.gate import Entrance, Gate
from postscan.core.store.database.write_lock import WriteLock

log = logging.getLogger(__name__)

READERS: Final = 8
"""Transactions that read at once. More of them would wait for the interpreter's lock, and so would the event loop; each
has a connection, which is kept with its cache of up to 2 MiB.
"""

URGENT_READERS: Final = 2  # of them, for urgent transactions alone

_PAUSE: Final = 0.001  # seconds

_ROLLED_BACK: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL)
"""Errors of a COMMIT that come before the commit point; its ROLLBACK undoes all of it."""

_DELETED: Final = (sqlite3.SQLITE_IOERR_DELETE, sqlite3.SQLITE_IOERR_DIR_FSYNC)
"""Errors of the disk that may come after the commit point of the rollback journal, which is the end of that file."""


class SQLite(Backend):
    """One writer at a time: SQLite's own lock is unfair, and threads were seen to wait for it for seconds."""

    has_one_writer = True

    def __init__(self, url: str, busy_seconds: float) -> None:
        self.file = sa.make_url(url).database
        if self.file:
            Path(self.file).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.writer = _engine(url, busy_seconds, "BEGIN IMMEDIATE")
        self.reader = _engine(url, busy_seconds, "BEGIN")
        self.writers: Sequence[Entrance] = (Gate(1, 1),)
        self.readers: Sequence[Entrance] = (Gate(READERS, READERS - URGENT_READERS),)
        self.most_connections = 1 + READERS
        self._lock: FileLock | None = None
        self._write_lock: WriteLock | None = None
        self._busy_seconds = busy_seconds
        if self.file:
            # Files of their own: to close any descriptor of the database would release SQLite's own locks of it.
            beside = os.path.realpath(self.file)
            self._lock = FileLock(Path(f"{beside}.lock"))
            self._write_lock = WriteLock(beside)
            self.writers = (*self.writers, self._write_lock)

    def close(self) -> None:
        """Close the connections and the lock."""
        super().close()
        if self._write_lock:
            self._write_lock.close()

    @contextlib.contextmanager
    def served(self, lost: Callable[[str], None]) -> Iterator[None]:
        """Hold the lock while the body runs; raise `LockHeld`. It cannot be lost. Choose the journal first."""
        if self._lock is None or self.file is None:
            yield
            return
        with self._lock.held():
            self._set_journal(self.file)
            yield

    def _set_journal(self, file: str) -> None:
        """Set the journal mode, which the database keeps; leave it as it is while another process reads or writes.

        Only the server does so. One of an older version, which has no lock of writers, cannot run at the same time.
        """
        mode = journal_modes.suitable(file)
        self.writer.dispose()  # from the write-ahead log back to the rollback journal, one connection alone is open
        self.reader.dispose()
        try:
            with contextlib.closing(sqlite3.connect(file, timeout=self._busy_seconds, isolation_level=None)) as alone:
                [found] = alone.execute(f"PRAGMA journal_mode={mode}").fetchone()
        except sqlite3.OperationalError as error:
            log.warning("journal mode not changed", extra={"file": file, "reason": str(error)})
        else:
            if found != mode:
                log.warning("journal mode not changed", extra={"file": file, "reason": f"SQLite chose {found}"})

    def copy_to(self, file: Path) -> None:
        """Copy the database into a new file, in one step: writers of the write-ahead log do not wait for it."""
        with self.reader.connect() as connection, contextlib.closing(sqlite3.connect(file)) as target:
            source: Any = connection.connection.dbapi_connection
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")  # the copy is one file

    def server(self) -> str | None:
        """Return the name of the process that holds the lock; None if there is none."""
        return self._lock.holder() if self._lock else None

    def name_of(self, db: sa.Connection) -> str | None:
        """Return None: the error of a COMMIT tells what it has done."""
        return None

    def is_committed(self, name: str | None, error: Exception, until: float) -> bool | None:
        """Return False for an error before the commit point; None if that is not known.

        With the rollback journal, an error while it or the database is written comes before: whoever opens the database
        next restores it from the journal. With the write-ahead log, the frames of the commit stay in the log, where a
        recovery after a crash would find them, until the next commit overwrites them; so this commits once more.
        """
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", None)
        if code is None:
            return None
        if code & 0xFF in _ROLLED_BACK:
            return False
        if code & 0xFF != sqlite3.SQLITE_IOERR or code in _DELETED:
            return None
        return False if not journal_modes.is_logged(self.file) or self._has_committed(until) else None

    def _has_committed(self, until: float) -> bool:
        """Commit a change without an effect; return whether that succeeds."""
        try:
            with self.writer.connect().execution_options(**{UNTIL: until}) as connection, connection.begin():
                version = connection.scalar(sa.text("PRAGMA user_version"))
                connection.execute(sa.text(f"PRAGMA user_version = {version:d}"))
        except sa.exc.DBAPIError:
            return False
        return True


def is_full(error: sa.exc.SQLAlchemyError) -> bool:
    """Return whether SQLite has found no room: for its file or journal, or for the index of its write-ahead log."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)


def _engine(url: str, busy_seconds: float, begin: str) -> sa.Engine:
    # Keep every connection: opening one takes the database's lock, and readers would wait for each other.
    engine = sa.create_engine(
        url,
        connect_args={"check_same_thread": False},
        poolclass=sa.QueuePool,
        pool_size=0,
        hide_parameters=True,  # hashes of passwords are among them
    )
    timeout = int(busy_seconds * 1000)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions
        for pragma in (
            f"busy_timeout={timeout}",
            "synchronous=FULL",
            "temp_store=MEMORY",  # for the journals of savepoints, which would be files else
            "foreign_keys=ON",
            f"wal_autocheckpoint={journal_modes.PAGES}",
            f"journal_size_limit={journal_modes.MOST_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        sqlite: Any = connection.connection.dbapi_connection
        sqlite.execute("PRAGMA busy_timeout=0")
        try:
            until = connection.get_execution_options().get(UNTIL, time.monotonic() + busy_seconds)
            _begin_locked(sqlite, begin, until)
        except sqlite3.OperationalError as error:
            raise sa.exc.OperationalError(begin, None, error) from error
        finally:
            sqlite.execute(f"PRAGMA busy_timeout={timeout}")

    return engine


def _begin_locked(sqlite: sqlite3.Connection, begin: str, until: float) -> None:
    """Begin a transaction, and take its first lock before `time.monotonic()` is *until*.

    SQLite's own busy handler polls ever less often, finally every 100 ms. Beside a writer with a thousand commits a
    second it was seen to miss every gap for seconds; so this polls every millisecond.
    """
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
