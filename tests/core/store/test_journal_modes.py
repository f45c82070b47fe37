"""The journal of SQLite: who sets it, where the write-ahead log is used, and the lock of all that write."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import sqlite3
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import databases
import psutil
import pytest
from works import until

from postscan import migrations
from postscan.core.errors import StoreBusy
from postscan.core.model.job import Job
from postscan.core.store.database import journal_modes
from postscan.core.store.database.write_lock import WriteLock
from postscan.core.store.store import Store

Mount = namedtuple("Mount", "mountpoint fstype")


@pytest.fixture
def rollback(sqlite_url: str) -> Iterator[Store]:
    """A store with the rollback journal, as older versions left it."""
    with contextlib.closing(Store(databases.migrated(sqlite_url, journal="delete"), busy_seconds=0.2)) as store:
        yield store


def mode(store: Store) -> str:
    """Return the journal mode that the file has, as another program sees it."""
    with contextlib.closing(sqlite3.connect(str(store.url.removeprefix("sqlite:///")))) as other:
        return str(other.execute("PRAGMA journal_mode").fetchone()[0])


def never(server: str) -> None:
    """Be called for a lock that was lost; here, none is."""
    raise AssertionError(server)


def mounted(monkeypatch: pytest.MonkeyPatch, **types: str) -> None:
    """Let these folders be mounts of file systems of these types."""
    mounts = [Mount("/" + folder.replace("_", "/").strip("/"), kind) for folder, kind in types.items()]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)


def test_a_server_sets_the_write_ahead_log_and_a_command_does_not(rollback: Store, job: Callable[..., Job]) -> None:
    """A command may run beside a server of an older version, which writes without the lock."""
    rollback.insert(job(token="by a command"))
    before = mode(rollback)
    with rollback.served(never):
        rollback.insert(job(token="by the server"))
        after = mode(rollback)

    assert (before, after) == ("delete", "wal")
    assert sorted(one.token for one in rollback.open_jobs()) == ["by a command", "by the server"]


def test_a_server_keeps_the_rollback_journal_on_a_network_file_system(
    rollback: Store, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machines share no memory; a database that was moved there gets the rollback journal back."""
    with rollback.served(never):
        rollback.insert(job(token="local"))
    mounted(monkeypatch, _="nfs4")
    with rollback.served(never):
        rollback.insert(job(token="remote"))
        found = mode(rollback)

    assert found == "delete"
    assert len(rollback.open_jobs()) == 2


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/srv/data/postscan.sqlite", "wal"),
        ("/srv/share/postscan.sqlite", "delete"),
        ("/srv/share/local/postscan.sqlite", "wal"),
        ("/srv/shares/postscan.sqlite", "wal"),
        ("/odd/postscan.sqlite", "delete"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not known is treated as one of another machine."""
    mounted(monkeypatch, _="ext4", srv_share="cifs", srv_share_local="xfs", odd="fuse.odd")

    assert journal_modes.suitable(path) == mode


def test_a_journal_that_cannot_be_set_is_named_in_the_log(
    rollback: Store, job: Callable[..., Job], caplog: pytest.LogCaptureFixture
) -> None:
    """Another program reads; the server works with the journal that the file has."""
    with contextlib.closing(sqlite3.connect(rollback.url.removeprefix("sqlite:///"), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM job").fetchone()
        with rollback.served(never):
            reader.rollback()
            rollback.insert(job(token="stored"))

    assert [record.message for record in caplog.records] == ["journal mode not changed"]
    assert [one.token for one in rollback.open_jobs()] == ["stored"]
    assert mode(rollback) == "delete"


def _hold(file: str, held: multiprocessing.synchronize.Event, over: multiprocessing.synchronize.Event) -> None:
    with WriteLock(file).entered(urgent=False, until=0.0):
        held.set()
        over.wait(60)


def set_back(store: Store) -> None:
    """Let the database be one of an older version, without any lock."""
    with contextlib.closing(sqlite3.connect(str(store.url.removeprefix("sqlite:///")))) as other, other:
        other.execute("UPDATE alembic_version SET version_num = '0001'")


def test_all_that_write_wait_for_one_another_across_processes(rollback: Store, job: Callable[..., Job]) -> None:
    """Changes, and migrations too; what reads does not wait, and nor does the look for a migration."""
    file = os.path.realpath(rollback.url.removeprefix("sqlite:///"))
    processes = multiprocessing.get_context("spawn")
    held, over = processes.Event(), processes.Event()
    other = processes.Process(target=_hold, args=(file, held, over))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(StoreBusy, match="another process writes"):
            rollback.insert(job())
        assert migrations.upgrade(rollback.url, busy_seconds=0.1) == []
        set_back(rollback)
        with pytest.raises(StoreBusy, match="another process writes"):
            migrations.upgrade(rollback.url, busy_seconds=0.1)
        assert rollback.open_jobs() == []
    finally:
        over.set()
        other.join(60)

    rollback.insert(job())
    assert len(rollback.open_jobs()) == 1


def test_a_store_that_is_closed_in_a_transaction_holds_the_lock_to_its_end(sqlite_url: str) -> None:
    """A stop of the server does not wait for a sweep without end."""
    store, other = Store(databases.migrated(sqlite_url)), WriteLock(os.path.realpath(sqlite_url[len("sqlite:///") :]))
    inside, over = threading.Event(), threading.Event()

    def write() -> None:
        with store.writing():
            inside.set()
            over.wait(60)

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        try:
            assert inside.wait(60)
            store.close()
            with pytest.raises(StoreBusy, match="another process writes"), other.entered(urgent=False, until=0.0):
                pass
        finally:
            over.set()
        writing.result(60)
    with other.entered(urgent=False, until=0.0):
        pass
    other.close()


@pytest.mark.parametrize("user", [0, 1000])
def test_a_command_of_root_makes_the_lock_for_the_owner_of_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    """Else the server could not open it. A file that exists keeps its owner: another user may have made it."""
    file = tmp_path / "data.sqlite"
    owners: list[tuple[int, int]] = []
    file.touch()
    if os.geteuid() == 0:
        os.chown(file, 1234, 1234)
    monkeypatch.setattr(os, "fchown", lambda _descriptor, *owner: owners.append(owner))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    for _ in range(2):
        lock = WriteLock(str(file))
        with lock.entered(urgent=False, until=0.0):
            pass
        lock.close()

    owner = file.stat()
    assert owners == ([(owner.st_uid, owner.st_gid)] * 2 if user == 0 else [])


def test_a_lock_is_not_opened_by_a_symbolic_link(tmp_path: Path) -> None:
    """A command of root would open, and make, any file."""
    (tmp_path / "data.sqlite.write-turn").symlink_to(tmp_path / "secret")
    with pytest.raises(StoreBusy), WriteLock(str(tmp_path / "data.sqlite")).entered(urgent=False, until=0.0):
        pass

    assert not (tmp_path / "secret").exists()


def test_the_process_that_waits_writes_before_one_that_comes_later(tmp_path: Path) -> None:
    """Ten times: so a process that writes again and again takes turns with the others."""
    file = str(tmp_path / "data.sqlite")
    first, second, third = (WriteLock(file) for _ in range(3))
    order: list[str] = []

    def write(lock: WriteLock, name: str) -> None:
        with lock.entered(urgent=False, until=time.monotonic() + 60):
            order.append(name)

    for _ in range(10):
        with first.entered(urgent=False, until=0.0):
            waits = threading.Thread(target=write, args=(second, "waits"))
            waits.start()
            until(lambda: is_locked(Path(f"{file}.write-turn")))
            later = threading.Thread(target=write, args=(third, "comes later"))
            later.start()
        waits.join()
        later.join()

    assert order == ["waits", "comes later"] * 10
    for lock in (first, second, third):
        lock.close()


def is_locked(file: Path) -> bool:
    """Return whether another descriptor has the lock of the file."""
    with file.open() as mine:
        try:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_the_log_is_copied_into_the_database_before_it_is_large(sqlite_url: str) -> None:
    """By a commit: after some 4,000 pages it is written anew from its begin."""
    log = Path(sqlite_url.removeprefix("sqlite:///") + "-wal")
    store = Store(databases.migrated(sqlite_url))
    for _ in range(5):
        with store.writing() as db:
            db.exec_driver_sql("CREATE TABLE IF NOT EXISTS filler (bytes BLOB)")
            db.exec_driver_sql("INSERT INTO filler VALUES (zeroblob(?))", (3000 * 4096,))
            db.exec_driver_sql("DELETE FROM filler")

    assert log.stat().st_size < 2 * (journal_modes.PAGES + 3000) * 4120
    store.close()
