"""A lock of one process at a time on a PostgreSQL database: an advisory lock of a session of its own.

PostgreSQL releases it when the connection ends: at once if the process ends, and after the keepalives of the connection
if its machine is gone. A thread asks each second whether the session is still there. If it is not, the lock is taken
again as soon as the database answers; a process that finds it with another one then has lost it.

The members of a cluster share the lock instead: so they and a server that is alone keep each other out.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import sqlalchemy as sa

from postscan.core.store.database.file_lock import LockHeld, this_process

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 1.0
"""Seconds between two looks at the session."""

LOCK_SECONDS: Final = 3.0
"""How long `held` waits: the session of a process that was just killed may take a moment to end."""

STOP_SECONDS: Final = 2.0
"""How long the end of `held` waits for a look at a database that does not answer."""

_RETRY: Final = 0.1  # seconds
_CLASS: Final = 0x706F7374
_LONGEST_NAME: Final = 63  # bytes; PostgreSQL cuts an application_name there

# The lock is one of the table `job`: two sets of tables in two schemas of a database are two databases to us.
_TRY: Final = sa.text(f"select pg_try_advisory_lock(({_CLASS}::bigint << 32) | 'job'::regclass::oid::bigint)")
_TRY_SHARED: Final = sa.text(
    f"select pg_try_advisory_lock_shared(({_CLASS}::bigint << 32) | 'job'::regclass::oid::bigint)"
)
_HOLDER: Final = sa.text(
    "select activity.application_name from pg_locks join pg_stat_activity activity using (pid)"
    " where locktype = 'advisory' and granted and objsubid = 1"
    " and pg_locks.database = (select oid from pg_database where datname = current_database())"
    " and classid::bigint = :number and objid = 'job'::regclass::oid"
).bindparams(number=_CLASS)
_NAME: Final = sa.text("select set_config('application_name', :name, false)")
_ALIVE: Final = sa.text("select 1")


def share(connection: sa.Connection, name: str) -> None:
    """Hold the lock together with others, in the session of *connection*; raise `LockHeld` if a server is alone."""
    connection.execute(_NAME, {"name": name})
    if not connection.scalar(_TRY_SHARED):
        raise LockHeld(_holder(connection))


def session_name() -> str:
    """Return the name of this process for `application_name`, with a mark that makes it unique."""
    mark = f" ({secrets.token_hex(4)})"
    return this_process()[: _LONGEST_NAME - len(mark)] + mark


class SessionLock:
    """A lock of one process; *engine* opens a connection of its own for each call, and commits each statement."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._name = session_name()

    @contextlib.contextmanager
    def held(self, lost: Callable[[str], None]) -> Iterator[None]:
        """Hold the lock while the body runs; raise `LockHeld` if another process holds it for `LOCK_SECONDS`.

        *lost* is called in another thread, with the name of the process that has taken the lock meanwhile.
        """
        stopped = threading.Event()
        watch = threading.Thread(
            target=self._watch, args=(self._taken_soon(), stopped, lost), name="postscan-lock", daemon=True
        )
        watch.start()
        try:
            yield
        finally:
            stopped.set()
            watch.join(STOP_SECONDS)

    def holder(self) -> str | None:
        """Return the name of the process that holds the lock; None if there is none."""
        with self._engine.connect() as connection:
            return _holder(connection)

    def _taken_soon(self) -> sa.Connection:
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                return self._taken()
            except LockHeld:
                if time.monotonic() > until:
                    raise
            time.sleep(_RETRY)

    def _taken(self) -> sa.Connection:
        """Return a connection whose session holds the lock; raise `LockHeld`."""
        with contextlib.ExitStack() as failed:
            connection = failed.enter_context(self._engine.connect())
            connection.execute(_NAME, {"name": self._name})
            if not connection.scalar(_TRY):
                raise LockHeld(_holder(connection))
            failed.pop_all()
            return connection

    def _watch(self, held: sa.Connection, stopped: threading.Event, lost: Callable[[str], None]) -> None:
        connection: sa.Connection | None = held
        while connection is not None and not stopped.wait(PAUSE_SECONDS):
            try:
                connection.execute(_ALIVE)
            except sa.exc.SQLAlchemyError as error:
                log.warning("lock of the database lost", extra={"reason": str(error)})
                _close(connection)
                connection = self._taken_again(stopped, lost)
        if connection is not None:
            _close(connection)

    def _taken_again(self, stopped: threading.Event, lost: Callable[[str], None]) -> sa.Connection | None:
        """Take the lock when the database answers; None if that is too late."""
        while not stopped.wait(_RETRY):
            try:
                connection = self._taken()
            except LockHeld as error:
                if error.holder is not None and error.holder != self._name:  # else it is our session, which ends soon
                    lost(error.holder)
                    return None
            except sa.exc.SQLAlchemyError:
                continue  # not yet
            else:
                log.warning("lock of the database held again")
                return connection
        return None


def _holder(connection: sa.Connection) -> str | None:
    name: str | None = connection.scalar(_HOLDER)
    return name


def _close(connection: sa.Connection) -> None:
    with contextlib.suppress(sa.exc.SQLAlchemyError):
        connection.close()
