"""Databases with all tables: copies of one that was migrated, since a copy takes a tenth of a migration's time.

The migrations themselves are tested in `tests/migrations`; a server on an empty folder in `tests/cli/demo` and
`tests/acceptance/test_private_data.py`.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from functools import cache
from pathlib import Path

import psycopg
import sqlalchemy as sa
from templates import template

from postscan import migrations
from postscan.core.store.database import Database

_TEMPLATE = "migrated"
_NAME = "postscan.sqlite"


def migrated(url: str, *, journal: str = "wal") -> str:
    """Make the SQLite file of *url* with all tables, unless it exists; return *url*."""
    file = Path(str(sa.make_url(url).database))
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(_file(), file)
        if journal != "wal":
            with contextlib.closing(sqlite3.connect(file)) as alone:
                alone.execute(f"PRAGMA journal_mode={journal}")
    return url


def create(server: str, name: str, *, with_tables: bool) -> str:
    """Create the database *name* of a PostgreSQL server, *server* being the URL of another one; return its URL."""
    url = server.replace("/postgres?", f"/{name}?")
    template = f" template {_template(server)}" if with_tables else ""
    _execute(server, f"create database {name}{template}")
    return url


@cache
def _file() -> Path:
    return template("migrated", _migrate) / _NAME


def _migrate(folder: Path) -> None:
    file = folder / _NAME
    url = f"sqlite:///{file}"
    migrations.upgrade(url)
    database = Database(url)
    with contextlib.closing(database), database.served(lambda _: None):
        pass  # a server has chosen the journal, as on most installations
    for lock in folder.glob(f"{file.name}.*"):
        lock.unlink()
    assert [one.name for one in folder.iterdir()] == [file.name], "the file alone is not the whole database"


@cache
def _template(server: str) -> str:
    migrations.upgrade(create(server, _TEMPLATE, with_tables=False))
    return _TEMPLATE


def _execute(server: str, statement: str) -> None:
    url = sa.make_url(server).set(drivername="postgresql").render_as_string()
    with psycopg.connect(url, autocommit=True) as connection:  # SQLAlchemy would look at the server first
        connection.execute(statement)
