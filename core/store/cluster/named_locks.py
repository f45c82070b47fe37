"""Locks with names on a PostgreSQL database: advisory locks of one session, which one thread asks again and again.

PostgreSQL releases them when the session ends: at once if the process ends, and after `IDLE_SECONDS` without a question
if the process stands still or its network is cut (PostgreSQL 14 and later; before, only the keepalives end it).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import Final

import sqlalchemy as sa

from postscan.core.store.database.translation import translated

IDLE_SECONDS: Final = 5
"""Seconds without a question after which PostgreSQL ends the session, and so releases its locks."""

# The locks belong to the table `job`: two sets of tables in two schemas of a database are two databases to us.
_TRY: Final = sa.text(
    "select name, pg_try_advisory_lock(hashtextextended(name, 'job'::regclass::oid::bigint))"
    " from unnest(cast(:names as text[])) as name"
)
_RELEASE: Final = sa.text("select pg_advisory_unlock(hashtextextended(:name, 'job'::regclass::oid::bigint))")
_ALIVE: Final = sa.text("select 1")
_END_WHEN_IDLE: Final = sa.text(
    "select set_config(name, :seconds, false) from pg_settings where name = 'idle_session_timeout'"
)


class LockSession:
    """One session and the locks that it holds. Use it from one thread; *connect* opens a connection for it alone."""

    def __init__(self, connect: Callable[[], sa.Connection]) -> None:
        self._connect = connect
        self._connection: sa.Connection | None = None
        self._held: set[str] = set()

    def look(self, wanted: Collection[str]) -> frozenset[str]:
        """Ask the database, and return which of these locks the session holds; take those that are free.

        Locks that are not wanted any more are released. Raises `StoreBusy` if the database does not answer: then the
        session has ended, and none is held.
        """
        try:
            with translated():
                return self._look(set(wanted))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the session; its locks are free at once if the database can be reached."""
        connection, self._connection = self._connection, None
        self._held.clear()
        if connection is not None:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.close()

    def _look(self, wanted: set[str]) -> frozenset[str]:
        if self._connection is None:
            self._connection = self._connect()
            self._connection.execute(_END_WHEN_IDLE, {"seconds": f"{IDLE_SECONDS}s"})
        for name in sorted(self._held - wanted):
            self._connection.execute(_RELEASE, {"name": name})
            self._held.remove(name)
        missing = sorted(wanted - self._held)
        if missing:
            taken = self._connection.execute(_TRY, {"names": missing})
            self._held.update(name for name, is_taken in taken if is_taken)
        else:
            self._connection.execute(_ALIVE)
        return frozenset(self._held)
