"""Database migrations with Alembic, part of the package.

They are run by `postscan migrate`, and by the server when it opens a new or older database.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

import sqlalchemy as sa

from postscan.core.store import database

_TABLE: Final = sa.table("alembic_version", sa.column("version_num"))


def upgrade(url: str, *, busy_seconds: float = 5.0) -> list[str]:
    """Upgrade the database to the newest revision; return the applied revisions, oldest first.

    A database that is up to date is only asked for its revision: each command does this first.
    Raises `StoreBusy` if the database does not respond.
    """
    if not check(url, busy_seconds=busy_seconds):
        return []
    with database.connected(url, busy_seconds, writing=True) as connection, _without_foreign_keys(connection):
        from postscan.migrations import revisions

        return revisions.apply(connection)


@contextlib.contextmanager
def _without_foreign_keys(connection: sa.Connection) -> Iterator[None]:
    """Begin a transaction without enforced foreign keys; check them before the commit.

    To change a table, SQLite copies it and drops the old one, which would delete all rows that refer to it. Foreign
    keys can be switched off only outside of a transaction.
    """
    if connection.dialect.name != "sqlite":
        with connection.begin():
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # a large table takes its time
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    with connection.begin():
        yield
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if broken:
            raise AssertionError(f"the migration left {len(broken)} rows with a broken foreign key: {broken[0]}")


def check(url: str, *, busy_seconds: float = 5.0) -> list[str]:
    """Return the revisions that are missing in the database, oldest first; none if it is up to date."""
    with database.connected(url, busy_seconds, writing=False) as connection, connection.begin():
        if _is_at_newest(connection):
            return []
        from postscan.migrations import revisions

        return revisions.pending(connection)


def newest() -> str:
    """Return the newest revision, from the names of their files."""
    files = resources.files("postscan.migrations.versions").iterdir()
    return max(file.name for file in files if file.name.startswith("r"))[1:5]


def _is_at_newest(connection: sa.Connection) -> bool:
    """Return whether the database has the newest revision: each command asks, and Alembic takes a fifth of its time."""
    if not sa.inspect(connection).has_table(_TABLE.name):
        return False
    return connection.scalars(sa.select(_TABLE.c.version_num)).all() == [newest()]
