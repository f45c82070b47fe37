"""A database has one server: a second one is refused, and what happens when the lock is lost."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from works import PATIENCE, until

from postscan.core.errors import SettingsError, StoreBusy
from postscan.core.model.job import Job
from postscan.core.store.database import file_lock, session_lock
from postscan.core.store.store import Store

HOLD = """
import sys
from postscan.core.store.store import Store
with Store(sys.argv[1]).served(print):
    print("held", flush=True)
    sys.stdin.read()
"""
WAIT = sa.text(str(session_lock._TRY).replace("pg_try_advisory_lock", "pg_advisory_lock"))
OURS = f"process {os.getpid()} on "


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that another one holds is refused at once."""
    monkeypatch.setattr(file_lock, "LOCK_SECONDS", 0.0)
    monkeypatch.setattr(session_lock, "LOCK_SECONDS", 0.0)


@pytest.fixture
def other(store: Store) -> Iterator[Store]:
    """Another process's store on the same database."""
    with contextlib.closing(Store(store.url)) as other:
        yield other


def never(server: str) -> None:
    """Be called for a lock that was lost; here, none is."""
    raise AssertionError(server)


def test_a_second_server_is_refused_and_told_which_one_is_there(
    store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-R24: until it stops; then there is room for the next one. PostgreSQL ends a session a moment after it."""
    with store.served(never):
        with (
            pytest.raises(SettingsError, match=f"another postscan server uses this database: {OURS}"),
            other.served(never),
        ):
            pass
        found = other.server()
    monkeypatch.setattr(session_lock, "LOCK_SECONDS", PATIENCE)
    with other.served(never):
        pass

    assert found is not None
    assert found.startswith(OURS)
    until(lambda: store.server() is None, "for the lock to be free")


def test_commands_work_beside_a_server(store: Store, other: Store, job: Callable[..., Job]) -> None:
    """Ruling 16: the lock keeps servers away, and no change."""
    with store.served(never):
        other.insert(job(token="one"))
        with other.change("one") as changed:
            changed.cancel(changed.created)

    assert store.load("one").state.ended


def test_a_server_that_is_killed_leaves_room_for_the_next_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-R1: neither the file nor the session of a dead process is in its way."""
    monkeypatch.setattr(session_lock, "LOCK_SECONDS", 60.0)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, store.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        assert server.stdout.readline() == "held\n"
        name = store.server()
        server.kill()
        server.wait()

    with store.served(never):
        assert store.server() != name
    assert name is not None
    assert name.startswith(f"process {server.pid} on ")


def test_two_names_of_one_file_are_one_database(tmp_path: Path) -> None:
    """A symbolic link leads to the same lock."""
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    with (
        contextlib.closing(Store(f"sqlite:///{tmp_path}/data/x.sqlite")) as store,
        contextlib.closing(Store(f"sqlite:///{tmp_path}/link/x.sqlite")) as same,
        store.served(never),
        pytest.raises(SettingsError),
        same.served(never),
    ):
        pass


def test_a_message_has_no_password() -> None:
    """Whether it stands before the host or behind the question mark."""
    with contextlib.closing(Store("postgresql+psycopg://ann:secret@db/scans?password=secret")) as store:
        assert store.name == "postgresql+psycopg://ann:***@db/scans"


def test_a_database_that_cannot_be_reached_is_no_lock(tmp_path: Path) -> None:
    """The error says that it does not answer."""
    with (
        contextlib.closing(Store(f"postgresql+psycopg://ann@/scans?host={tmp_path}")) as store,
        pytest.raises(StoreBusy),
        store.served(never),
    ):
        pass


# --- PostgreSQL: the session ends while the server runs ------------------------------------------------------------


def end_session(store: Store) -> None:
    """End the session that holds the lock, as an outage would; return when it has ended."""
    with store.writing() as db:
        query = "select pg_terminate_backend(pid, 60000) from pg_locks where granted and classid::bigint > 0"
        assert db.scalars(sa.text(query)).all() == [True]


def test_a_lock_that_an_outage_has_ended_is_taken_again(
    postgres_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-R14: by itself; one line when it is lost, and one when it is held again."""
    monkeypatch.setattr(session_lock, "PAUSE_SECONDS", 0.05)
    with contextlib.closing(Store(postgres_url)) as store, caplog.at_level(logging.INFO, "postscan"):
        with store.served(never):
            end_session(store)
            until(lambda: "lock of the database held again" in caplog.messages)
            with pytest.raises(SettingsError), store.served(never):
                pass
        until(lambda: store.server() is None, "for the lock to be free")

    assert caplog.messages == ["lock of the database lost", "lock of the database held again"]


def test_a_server_whose_lock_another_one_has_taken_is_told(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-R24: the other one has waited for it, and gets it before the first one looks again."""
    monkeypatch.setattr(session_lock, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(session_lock, "LOCK_SECONDS", 60.0)
    taken, lost = threading.Event(), []

    def tell(server: str) -> None:
        lost.append(server)
        taken.set()

    with contextlib.closing(Store(postgres_url)) as store, store.served(tell):
        engine = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as other:
            other.execute(sa.text("set application_name = 'process 7 on another machine'"))
            waiting = threading.Thread(target=other.execute, args=(WAIT,))
            waiting.start()
            until(lambda: is_waiting(store))
            end_session(store)
            waiting.join()
            assert taken.wait(60)
        engine.dispose()

    assert lost == ["process 7 on another machine"]


def is_waiting(store: Store) -> bool:
    """Return whether a session waits for the lock."""
    with store.reading() as db:
        return bool(db.scalar(sa.text("select count(*) from pg_locks where locktype = 'advisory' and not granted")))


def gone(_lock: session_lock.SessionLock) -> sa.Connection:
    """Find no database."""
    raise sa.exc.OperationalError("connect", None, OSError("no such database"))


def test_the_end_of_a_server_does_not_wait_for_a_database_that_is_gone(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-R13: while it tries to take the lock again, it can stop."""
    monkeypatch.setattr(session_lock, "PAUSE_SECONDS", 0.05)
    with contextlib.closing(Store(postgres_url)) as store:
        with store.served(never):
            monkeypatch.setattr(session_lock.SessionLock, "_taken", gone)
            end_session(store)
            until(lambda: store.server() is None)
        until(lambda: "postscan-lock" not in [thread.name for thread in threading.enumerate()], "for its thread to end")
