"""Two servers on one PostgreSQL database: one of them serves it, and the jobs do not notice the other."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
import sqlalchemy as sa
from acceptance.scanning import Scanner
from acceptance.server import Server, none_alive
from works import until

from postscan.core.store.database import session_lock

WAIT = sa.text(str(session_lock._TRY).replace("pg_try_advisory_lock", "pg_advisory_lock"))


@pytest.fixture
def first(tmp_path: Path, postgres_url: str) -> Iterator[Server]:
    """A running server."""
    server = installation(tmp_path / "first", postgres_url)
    server.start()
    yield server
    server.stop()


def installation(home: Path, url: str) -> Server:
    """Return a server with a data folder of its own."""
    home.mkdir()
    return Server(home, {"storage": {"data_dir": "data", "database": url}})


def refused(server: Server) -> str:
    """Start a server that is refused; return the line that says so."""
    ended = commands.run(["--config", str(server.home / "postscan.toml"), "serve"])
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    return line


def test_a_second_data_folder_on_the_same_database_is_refused_in_one_line(
    first: Server, postgres_url: str, tmp_path: Path
) -> None:
    """F-R24: with what it has, and what the database expects. A job that runs on the first one goes on."""
    scanner = Scanner(first)
    token = scanner.start("sleep 60")
    scanner.await_state(token, "Processing")

    line = refused(installation(tmp_path / "second", postgres_url))

    assert line.startswith("postscan: the spool is not that of the database: ")
    assert f"{tmp_path}/second/data/spool has no identifier" in line
    assert f"({tmp_path}/first/data/spool on " in line
    assert line.endswith("; see: postscan spool adopt --check")
    assert scanner.status(token).state == "Processing"


def test_a_copy_of_the_data_folder_is_no_second_server(first: Server, postgres_url: str, tmp_path: Path) -> None:
    """F-R24: its spool is the right one, so the lock of the database decides."""
    second = installation(tmp_path / "second", postgres_url)
    shutil.copytree(tmp_path / "first" / "data" / "spool", tmp_path / "second" / "data" / "spool")

    line = refused(second)

    assert f": another postscan server uses this database: process {first.pid} on " in line


def test_a_server_whose_database_another_one_has_taken_ends_at_once(first: Server, postgres_url: str) -> None:
    """F-R24: as if it were killed; the job is the other one's, as it stands."""
    scanner = Scanner(first)
    token = scanner.start("sleep 60")
    scanner.await_state(token, "Processing")
    family = first.family()
    engine = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as other, engine.connect() as watching:
        other.execute(sa.text("set application_name = 'process 7 on another machine'"))
        waiting = threading.Thread(target=other.execute, args=(WAIT,))
        waiting.start()
        until(lambda: sessions(watching, granted=False))
        (lock,) = sessions(watching, granted=True)
        watching.execute(sa.text("select pg_terminate_backend(:pid)"), {"pid": lock})
        waiting.join()
        until(lambda: none_alive(family))
        state = watching.scalar(sa.text("select state from job where token = :token"), {"token": token})
    engine.dispose()

    assert state == "Processing"
    assert "database taken by another server" in first.log()
    assert 'server="process 7 on another machine"' in first.log()


def sessions(connection: sa.Connection, *, granted: bool) -> list[int]:
    """Return the sessions that hold the lock of the database, or wait for it; other tests have other databases."""
    query = sa.text(
        "select pid from pg_locks where locktype = 'advisory' and classid::bigint > 0 and granted = :granted"
        " and database = (select oid from pg_database where datname = current_database())"
    )
    return list(connection.scalars(query, {"granted": granted}))
