"""The way of the schema: from nothing to today's, on every database, and no step missing."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from postscan import migrations
from postscan.core.store.schema import METADATA
from postscan.migrations import revisions


def test_the_migrations_build_exactly_the_tables_of_the_schema(database_url: str) -> None:
    """A table or column that stands in one place only is found here."""
    migrations.upgrade(database_url)
    engine = sa.create_engine(database_url)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = compare_metadata(context, METADATA)
    engine.dispose()

    assert differences == []


def test_upgrade_says_what_it_applied_and_is_harmless_when_repeated(database_url: str) -> None:
    """Check tells the same before."""
    lacking = migrations.check(database_url)

    assert migrations.upgrade(database_url) == lacking
    assert lacking
    assert lacking[0] == "0001"
    assert migrations.upgrade(database_url) == []
    assert migrations.check(database_url) == []


def test_a_database_that_is_up_to_date_is_only_asked_for_its_revision(database_url: str) -> None:
    """Each command does so first; to look for broken foreign keys would read all rows of all jobs."""
    migrations.upgrade(database_url)
    executed = []

    def record(_db: object, _cursor: object, sql: str, *_others: object) -> None:
        executed.append(" ".join(sql.split()))

    sa.event.listen(sa.Engine, "before_cursor_execute", record)
    try:
        migrations.upgrade(database_url)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", record)

    assert "SELECT alembic_version.version_num FROM alembic_version" in executed
    assert not [sql for sql in executed if "foreign_key_check" in sql]


def test_the_newest_revision_is_alembics() -> None:
    """It is found by the names of the files alone."""
    assert migrations.newest() == ScriptDirectory.from_config(revisions.config()).get_current_head()


def test_a_database_that_is_up_to_date_needs_no_alembic(sqlite_url: str) -> None:
    """To import it and all revisions takes a fifth of a command's time."""
    migrations.upgrade(sqlite_url)
    code = (
        "import sys; from postscan import migrations; migrations.upgrade(sys.argv[1]); print('alembic' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code, sqlite_url], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


AT = datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)
JOB: dict[str, Any] = {
    "token": "old",
    "owner": "device:192.0.2.7",
    "owner_proof": "address",
    "user_sid": "S-1-5-21-1-2-3-1001",
    "user_name": "anna@fabrikam.example",
    "user_mail": "",
    "process_id": "P",
    "process_name": "Invoices",
    "document_root": "Invoice",
    "continue_on_error": False,
    "state": "Creating",
    "reasons": [],
    "created": AT,
    "boot": "",
    "deadline": 1000.0,
    "version": 0,
}


def upgrade_to(url: str, revision: str) -> None:
    """Bring a database to a revision of its past."""
    engine = sa.create_engine(url)
    config = revisions.config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def insert(db: sa.Connection, table: str, **values: Any) -> None:
    """Insert a row into a table as it is now; what it had once and has no more is left out."""
    there = sa.Table(table, sa.MetaData(), autoload_with=db)
    db.execute(sa.insert(there), {name: value for name, value in values.items() if name in there.c})


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005", "0009", "0011", "0012"])
def test_jobs_and_their_events_survive_the_upgrade(database_url: str, revision: str) -> None:
    """Numbers and ties of events stay as they are; those from before know no version.

    SQLite copies a table to change it, and drops the old one: what hangs on its rows must not go with them.
    """
    migrations.check(database_url)  # makes the folder
    upgrade_to(database_url, revision)
    engine = sa.create_engine(database_url)
    with engine.begin() as db:
        insert(db, "job", **JOB)
        for kind in ("JobStateChanged", "ImageReceived"):
            insert(db, "event", token="old", kind=kind, at=AT, fields={"of": kind})

    migrations.upgrade(database_url)

    with engine.begin() as db:
        found = db.execute(sa.text("select seq, token, kind, version from event order by seq")).all()
    engine.dispose()
    assert [tuple(row) for row in found] == [(1, "old", "JobStateChanged", 0), (2, "old", "ImageReceived", 0)]


def test_numbers_of_events_are_never_used_twice(database_url: str) -> None:
    """A reader's cursor relies on it, also after the upgrade that copies the table; events go with their job."""
    migrations.check(database_url)
    upgrade_to(database_url, "0003")
    migrations.upgrade(database_url)
    engine = sa.create_engine(database_url)

    @sa.event.listens_for(engine, "connect")
    def _enforce(connection: Any, _record: object) -> None:
        if engine.dialect.name == "sqlite":
            connection.execute("PRAGMA foreign_keys=ON")

    with engine.begin() as db:
        insert(db, "job", **JOB)
        for _ in range(3):
            insert(db, "event", token="old", kind="JobEnded", at=AT, fields={})
        db.execute(sa.text("delete from job"))
        insert(db, "event", token=None, kind="RepositoryStatusChanged", at=AT, fields={})
        numbers = list(db.scalars(sa.text("select seq from event")))
    engine.dispose()

    assert numbers == [4]


def test_a_run_that_an_older_version_has_left_in_progress_is_no_crash(database_url: str) -> None:
    """Older versions did not record an orderly stop (D13)."""
    migrations.check(database_url)
    upgrade_to(database_url, "0004")
    engine = sa.create_engine(database_url)
    step = {"dialect": "urn:x", "xml": b"", "reasons": [], "detail": "", "attempt": 2, "progress": ""}
    with engine.begin() as db:
        insert(db, "job", **JOB)
        for position, state in enumerate(("CompletedSuccessfully", "Processing", "Pending")):
            insert(db, "step", token="old", position=position, state=state, **step)

    migrations.upgrade(database_url)

    with engine.begin() as db:
        found = db.execute(sa.text("select crashes, suspended from step order by position")).all()
    engine.dispose()
    assert [(row.crashes, bool(row.suspended)) for row in found] == [(0, False), (0, True), (0, False)]


def test_what_the_spool_keeps_is_counted_from_the_rows_of_older_versions(database_url: str) -> None:
    """Images that are not removed; of what filters made, each file once, and only for open jobs (I5)."""
    migrations.check(database_url)
    upgrade_to(database_url, "0007")
    engine = sa.create_engine(database_url)
    ended = {"state": "Completed", "completed": AT}
    job = {name: value for name, value in JOB.items() if name != "boot"}
    file = {"format": "png", "sha256": ""}
    with engine.begin() as db:
        for token, more in {
            "open": {},
            "kept": ended,
            "failed": {"state": "Aborted", "completed": AT, "owner": "other"},
            "removed": {**ended, "images_kept": False},
            "empty": ended,
        }.items():
            insert(db, "job", **{"images_kept": True, **job, **more, "token": token})
        for token in ("open", "kept", "failed", "removed"):
            for id, size in ((1, 10), (2, 20)):
                insert(db, "document", token=token, id=id, size=size, blob=f"{token}/{id}", **file)
            for position in (0, 1):
                insert(db, "made", token=token, position=position, place=0, id=1, size=10, blob=f"{token}/1", **file)
                insert(db, "made", token=token, position=position, place=1, id=3, size=5, blob=f"{token}/3", **file)

    migrations.upgrade(database_url)

    with engine.begin() as db:
        jobs = {row.token: row.kept_bytes for row in db.execute(sa.text("select token, kept_bytes from job"))}
        usage = db.execute(sa.text("select * from usage order by owner")).all()
    engine.dispose()
    assert jobs == {"open": 35, "kept": 30, "failed": 30, "removed": 0, "empty": 0}
    assert [tuple(row) for row in usage] == [("device:192.0.2.7", 65, 30), ("other", 30, 0)]


def test_accounts_of_older_versions_are_those_of_owners(database_url: str) -> None:
    """Whoever could send a mail to the server before sees its own jobs at the console, and no others (D26)."""
    migrations.check(database_url)
    upgrade_to(database_url, "0012")
    engine = sa.create_engine(database_url)
    with engine.begin() as db:
        values = {"name": "ann", "hash": "$argon2id$", "user_sid": "S-1-5-21-1-2-3-1001", "inlets": []}
        insert(db, "account", **values, created=AT, changed=AT)

    migrations.upgrade(database_url)

    with engine.begin() as db:
        found = db.execute(sa.text("select name, user_sid, role from account")).all()
    engine.dispose()
    assert [tuple(row) for row in found] == [("ann", "S-1-5-21-1-2-3-1001", "owner")]
