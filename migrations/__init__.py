"""The way from one schema to the next: Alembic, shipped inside the package.

Run by `postscan migrate`, and by the server itself when it meets a new or an older database.
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
    """Bring the database to the newest revision; return the revisions that were applied, oldest first.

    Raises `StoreBusy` if the database does not answer.
    """
    writer, _reader = database.connect(url, busy_seconds)
    try:
        with database.translated(), writer.connect() as connection, _unheeded_references(connection):
            config = _config()
            config.attributes["connection"] = connection
            pending = _pending(connection)
            if pending:
                command.upgrade(config, "head")
            return pending
    finally:
        writer.dispose()


@contextlib.contextmanager
def _unheeded_references(connection: sa.Connection) -> Iterator[None]:
    """Begin a transaction in which a table can be replaced without taking along what refers to its rows.

    SQLite copies a table to change it, and drops the old one, which would delete every row that hangs on it. It can be
    told not to heed references only outside of a transaction; before the commit it says whether all of them still hold.
    """
    if connection.dialect.name != "sqlite":
        with connection.begin():
            yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    with connection.begin():
        yield
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if broken:
            raise AssertionError(f"the migration left {len(broken)} rows that refer to nothing: {broken[0]}")


def check(url: str, *, busy_seconds: float = 5.0) -> list[str]:
    """Return the revisions that the database still lacks, oldest first; nothing if it is up to date."""
    _writer, reader = database.connect(url, busy_seconds)
    try:
        with database.translated(), reader.begin() as connection:
            return _pending(connection)
    finally:
        reader.dispose()


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
