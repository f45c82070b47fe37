"""How SQLite is opened: durable, and never in a mode that its library cannot hold."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from postscan.core import database


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ((3, 40, 1), "DELETE"),
        ((3, 44, 5), "DELETE"),
        ((3, 44, 6), "WAL"),
        ((3, 50, 6), "DELETE"),
        ((3, 50, 7), "WAL"),
        ((3, 51, 2), "DELETE"),
        ((3, 51, 3), "WAL"),
        ((3, 52, 0), "WAL"),
    ],
)
def test_the_write_ahead_log_is_used_only_where_it_is_mended(version: tuple[int, int, int], mode: str) -> None:
    """Versions that can lose commits between several connections keep the rollback journal."""
    assert database.journal_mode(version) == mode


def test_every_connection_syncs_fully_and_begins_at_once(sqlite_url: str) -> None:
    """synchronous=FULL (2) and foreign keys on both engines; the writer's transaction locks before it reads."""
    writer, reader = database.connect(sqlite_url, 0.1)
    for engine in (writer, reader):
        with engine.begin() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1

    with writer.begin(), pytest.raises(sa.exc.OperationalError, match="locked"), writer.begin():
        pass

    writer.dispose()
    reader.dispose()
