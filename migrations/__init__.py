"""Database migrations with Alembic, part of the package.

They are run by `postscan migrate`, and by the server when it opens a new or older database.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from postscan.core.store import database


def upgrade(url: str, *, busy_seconds: float = 5.0) -> list[str]:
    """Upgrade the database to the newest revision; return the applied revisions, oldest first.

    A database that is up to date is only asked for its revision: each command does this first.
    Raises `StoreBusy` if the database does not respond.
    """
    if not check(url, busy_seconds=busy_seconds):
        return []
    with database.connected(url, busy_seconds, writing=True) as connection, _without_foreign_keys(connection):
        config = _config()
        config.attributes["connection"] = connection
        pending = _pending(connection)
        if pending:  # else another process has upgraded it meanwhile
            command.upgrade(config, "head")
        return pending


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
        return _pending(connection)


def _pending(connection: sa.Connection) -> list[str]:
    script = ScriptDirectory.from_config(_config())
    present = MigrationContext.configure(connection).get_current_heads()
    newer = script.iterate_revisions("head", present or "base")
    return [revision.revision for revision in reversed(list(newer))]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "postscan.migrations:")
    config.set_main_option("path_separator", "os")
    return config
