"""Transactions: how many are open at once, how long they wait, and whether a failed COMMIT has committed.

`Database` decides; its backends, SQLite and PostgreSQL, have the connections. Every wait ends: for a gate, a
connection, a lock, the outcome of a commit.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from postscan.core.errors import OutcomeUnknown, SettingsError, StoreBusy
from postscan.core.store.database import journal_modes
from postscan.core.store.database.backend import OUTCOME_SECONDS, UNTIL, Backend
from postscan.core.store.database.file_lock import LockHeld
from postscan.core.store.database.gate import Entrance, all_entered
from postscan.core.store.database.group_commit import GroupCommit
from postscan.core.store.database.outages import OutageLog
from postscan.core.store.database.postgresql import CONNECTIONS, PostgreSQL
from postscan.core.store.database.sqlite import SQLite
from postscan.core.store.database.translation import translated

__all__ = ["CONNECTIONS", "Database", "Transaction", "connected", "journal_mode", "translated"]

log = logging.getLogger(__name__)

Transaction = sa.Connection
"""An open transaction, for modules that pass it on to functions of the store and write no SQL themselves."""


class Database:
    """Transactions on one database. Safe to use from several threads; a thread has one transaction open at a time.

    `name` is its URL for messages, without the password.
    """

    def __init__(self, url: str, *, busy_seconds: float = 5.0, connections: int = CONNECTIONS) -> None:
        self.name = sa.make_url(url).set(query={}).render_as_string(hide_password=True)
        self._busy_seconds = busy_seconds
        self._backend = _backend(url, busy_seconds, connections)
        self._group = GroupCommit(self._backend, self._settle) if self._backend.has_one_writer else None
        self._thread = threading.local()
        self.outages = OutageLog()

    @property
    def file(self) -> str | None:
        """The path of an SQLite file, else None."""
        return self._backend.file

    @property
    def has_one_writer(self) -> bool:
        """Whether transactions that write wait for one another to end."""
        return self._backend.has_one_writer

    def close(self) -> None:
        """Close the connections."""
        self._backend.close()

    def connections(self) -> tuple[int, int]:
        """Return how many connections are in use, and how many may be at once."""
        return self._backend.connections()

    @contextlib.contextmanager
    def served(self, lost: Callable[[str], None]) -> Iterator[None]:
        """Be the only server of this database while the body runs; raise `SettingsError` if there is another one.

        *lost* is called in another thread if another server has taken its place meanwhile, with the name of its
        process: on PostgreSQL, after an outage. Do not write to the database any more then.
        """
        with contextlib.ExitStack() as held:
            try:
                with translated():
                    held.enter_context(self._backend.served(lost))
            except LockHeld as error:
                reason = (
                    f"another postscan server uses this database: {error.holder or 'a process that has just ended'}"
                )
                raise SettingsError(f"{self.name}: {reason}") from None
            yield

    def copy_to(self, file: Path) -> None:
        """Copy an SQLite database, as it is after one of its commits, into a new file. Raises `StoreBusy`."""
        with self._admitted(), translated():
            self._backend.copy_to(file)

    def server(self) -> str | None:
        """Return the name of the process that serves this database; None if there is none. Raises `StoreBusy`."""
        with translated():
            return self._backend.server()

    def separate(self) -> sa.Connection:
        """Return a connection of its own, outside of the pool, that commits each statement; PostgreSQL alone.

        Its errors are those of SQLAlchemy.
        """
        return self._backend.separate()

    @contextlib.contextmanager
    def urgent(self) -> Iterator[None]:
        """Let the transactions of this thread go before those of others while the body runs."""
        before, self._thread.urgent = self._is_urgent(), True
        try:
            yield
        finally:
            self._thread.urgent = before

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Yield a transaction that only reads. Raises `StoreBusy`."""
        with self._connected(self._backend.reader, self._backend.readers) as db, db.begin():
            yield db

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Yield a transaction that writes; an exception inside rolls it back.

        Raises `StoreBusy` if nothing is changed, `OutcomeUnknown` if that is not known. A COMMIT that failed and is
        found to have committed is a success.
        """
        if self._group is None:
            with self._separately() as db:
                yield db
        else:
            until = time.monotonic() + self._busy_seconds
            with self._admitted(), self._group.change(urgent=self._is_urgent(), until=until) as db:
                yield db

    @contextlib.contextmanager
    def _separately(self) -> Iterator[sa.Connection]:
        committing, name = False, None
        with self._connected(self._backend.writer, self._backend.writers) as db:
            try:
                with db.begin():
                    yield db
                    name = self._backend.name_of(db)
                    committing = True
            except Exception as error:
                if not committing:
                    raise
                self._settle(name, error, db.get_execution_options()[UNTIL])

    def _settle(self, name: str | None, error: Exception, until: float) -> None:
        """Find the outcome of a COMMIT that failed; return if it has committed."""
        committed = self._backend.is_committed(name, error, max(until, time.monotonic() + OUTCOME_SECONDS))
        if committed is not False:  # else it is one failure among the others
            log.warning("commit interrupted", extra={"outcome": _OUTCOME[committed], "reason": str(error)})
        if committed is None:
            raise OutcomeUnknown("the database failed during a commit; it is not known whether it committed") from error
        if not committed:
            raise error

    @contextlib.contextmanager
    def _connected(self, engine: sa.Engine, gates: Sequence[Entrance]) -> Iterator[sa.Connection]:
        until = time.monotonic() + self._busy_seconds
        with (
            self._admitted(),
            translated(),
            all_entered(gates, urgent=self._is_urgent(), until=until),
            self._backend.watched(),
            engine.connect() as connection,
        ):
            yield connection.execution_options(**{UNTIL: until})

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[None]:
        """Refuse a second transaction of this thread, and log an outage of the database in the body."""
        with self._alone(), self._reported():
            yield

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except StoreBusy as error:
            self.outages.failed(error)
            raise

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse a second transaction of this thread: it would wait for a connection that the first one holds."""
        if getattr(self._thread, "open", False):
            raise AssertionError("this thread has a transaction open already")
        self._thread.open = True
        try:
            yield
        finally:
            self._thread.open = False

    def _is_urgent(self) -> bool:
        return getattr(self._thread, "urgent", False)


_OUTCOME: Final = {True: "committed", None: "unknown"}


@contextlib.contextmanager
def connected(url: str, busy_seconds: float, *, writing: bool) -> Iterator[sa.Connection]:
    """Yield a connection on which one transaction may begin, for migrations. Raises `StoreBusy`.

    Make the folder of an SQLite file if it is missing.
    """
    until = time.monotonic() + busy_seconds
    with contextlib.closing(_backend(url, busy_seconds, CONNECTIONS)) as backend, translated():
        engine, gates = (backend.writer, backend.writers) if writing else (backend.reader, backend.readers)
        with all_entered(gates, urgent=False, until=until), engine.connect() as connection:
            yield connection.execution_options(**{UNTIL: until})


def journal_mode(url: str) -> str | None:
    """Return the journal mode that a server sets for the SQLite file of *url*; None for another database."""
    file = sa.make_url(url).database if url.startswith("sqlite") else None
    return journal_modes.suitable(file) if file else None


def _backend(url: str, busy_seconds: float, connections: int) -> Backend:
    if url.startswith("sqlite"):
        return SQLite(url, busy_seconds)
    return PostgreSQL(url, busy_seconds, connections)
