"""Every wait of a transaction ends, and no transaction waits for itself or for one that stopped."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import databases
import pytest
import sqlalchemy as sa
from conftest import ANNA, AnyProcess
from works import Works

from postscan.core.engine import Engine
from postscan.core.errors import OutcomeUnknown, StoreBusy
from postscan.core.model.job import Job
from postscan.core.settings import Settings
from postscan.core.store.database import Database
from postscan.core.store.database.gate import MOST_URGENT, Gate, Turn, Turns
from postscan.core.store.database.sqlite import READERS, URGENT_READERS, SQLite
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME

SOON = 60.0  # seconds; only ends a test that has failed


@contextlib.contextmanager
def in_threads(count: int, work: Callable[[], object]) -> Iterator[list[BaseException]]:
    """Do *work* in threads while the body runs, and join them; yield the list of their errors."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    yield errors
    for thread in threads:
        thread.join(SOON)
    assert not any(thread.is_alive() for thread in threads)


def test_a_transaction_inside_another_is_an_error_at_once(store: Store) -> None:
    """With a pool it would wait for a connection that its own thread holds."""
    for outer in (store.reading, store.writing):
        for inner in (store.reading, store.writing):
            with outer(), pytest.raises(AssertionError, match="open already"), inner():
                pass

    with store.reading():
        pass


def test_many_images_of_one_job_at_once_are_all_stored(settings: Settings, migrated_url: str) -> None:
    """More threads than connections, each with an image; none waits for a connection that another one holds."""
    storage = settings.storage.model_copy(update={"database": migrated_url, "connections": 4, "busy_seconds": SOON})
    with contextlib.closing(Engine(settings.model_copy(update={"storage": storage}), AnyProcess())) as engine:
        works, numbers = Works(engine, ANNA), iter(range(1, 31))
        token = works.create("copy")
        with in_threads(30, lambda: works.send(token, next(numbers), b"page")) as errors:
            pass

        assert errors == []
        assert works.job(token).images_received == 30


def test_readers_and_urgent_transactions_go_on_beside_writers_that_stand_still(
    store: Store, migrated_url: str, job: Callable[..., Job]
) -> None:
    """Writers never take all connections, and a cancel does not wait for those that wait for a place."""
    if not migrated_url.startswith("postgresql"):
        return  # SQLite has one writer
    over, inside = threading.Event(), threading.Semaphore(0)

    def stand() -> None:
        with store.writing():
            inside.release()
            over.wait(SOON)

    store.insert(job())
    with in_threads(3, stand):
        for _ in range(3):
            assert inside.acquire(timeout=SOON)
        try:
            assert store.load(job().token).token == job().token
            with store.urgent(), store.change(job().token) as changed:
                changed.cancel(EXAMPLE_TIME)
            with in_threads(1, stand):
                assert not inside.acquire(timeout=0.1)
                over.set()
        finally:
            over.set()


def test_so_many_transactions_read_an_sqlite_file_at_once(tmp_path: Path) -> None:
    """A further one is busy, and an urgent one has a place of its own."""
    over, inside = threading.Event(), threading.Semaphore(0)
    database = Database(f"sqlite:///{tmp_path / 'read.sqlite'}", busy_seconds=0.1)

    def stand() -> None:
        with database.reading():
            inside.release()
            over.wait(SOON)

    with contextlib.closing(database), in_threads(READERS - URGENT_READERS, stand) as errors:
        try:
            for _ in range(READERS - URGENT_READERS):
                assert inside.acquire(timeout=SOON)
            with pytest.raises(StoreBusy, match="too many"), database.reading():
                pass
            with database.urgent(), database.reading() as db:
                assert db.scalar(sa.text("SELECT 1")) == 1
        finally:
            over.set()
    assert errors == []


def test_an_urgent_transaction_waits_for_one_and_not_for_all() -> None:
    """Two of three places are for ordinary ones: with both taken, the third is free for an urgent one alone."""
    gate, now = Gate(3, 2), time.monotonic()
    with gate.entered(urgent=False, until=now), gate.entered(urgent=False, until=now):
        with pytest.raises(StoreBusy), gate.entered(urgent=False, until=now):
            pass
        with gate.entered(urgent=True, until=now):
            pass


def test_a_gate_that_stays_closed_is_busy() -> None:
    """The wait for a place has an end."""
    gate = Gate(1, 1)
    with (
        gate.entered(urgent=False, until=0.0),
        pytest.raises(StoreBusy, match="too many"),
        gate.entered(urgent=True, until=time.monotonic() + 0.05),
    ):
        pass


def has_come(turn: Turn) -> bool:
    """Return whether a thread has the turn."""
    with contextlib.suppress(StoreBusy):
        turn.wait(0.0)
        return True
    return False


@pytest.mark.parametrize("is_passed_on", [False, True])
def test_urgent_turns_leave_one_to_an_ordinary_thread_that_waits(*, is_passed_on: bool) -> None:
    """After some in succession, also if they would take only urgent ones with them; then urgent ones come again."""
    turns, order = Turns(), ""
    first = turns.enter(urgent=True)
    waiting = {turns.enter(urgent=urgent): urgent for urgent in [False, False] + [True] * 3 * MOST_URGENT}
    assert has_come(first)
    while waiting:
        if not is_passed_on or not turns.pass_on(urgent=True):
            turns.end()
        [next_one] = [turn for turn in waiting if has_come(turn)]
        order += "u" if waiting.pop(next_one) else "o"

    some = "u" * MOST_URGENT
    assert order == f"{some}o{some}o{some}"


def test_urgent_turns_that_overtook_none_do_not_count() -> None:
    """An urgent thread goes before the first ordinary one that waits, however many went before."""
    turns = Turns()
    turns.enter(urgent=True)
    for _ in range(2 * MOST_URGENT):
        turns.enter(urgent=True)
        turns.end()
    ordinary, urgent = turns.enter(urgent=False), turns.enter(urgent=True)
    turns.end()

    assert (has_come(urgent), has_come(ordinary)) == (True, False)


def test_a_client_that_stops_before_its_commit_stops_no_other(postgres_url: str, job: Callable[..., Job]) -> None:
    """The server ends its session, and the others go on. Its own change is `StoreBusy`."""
    timeout = "set_config('idle_in_transaction_session_timeout', '300ms', true)"  # from then on, when it has the lock
    with (
        contextlib.closing(Store(postgres_url)) as stopped,
        contextlib.closing(Store(postgres_url, busy_seconds=SOON)) as other,
    ):
        other.insert(job())
        with pytest.raises(StoreBusy), stopped.writing() as db:
            db.execute(sa.text(f"select {timeout}, token from job for update"))
            with other.change(job().token) as changed:
                changed.cancel(EXAMPLE_TIME)

        assert other.load(job().token).state.ended


def test_each_wait_for_postgresql_has_a_limit(postgres_url: str) -> None:
    """A lock, a statement, and a transaction that stands still."""
    with contextlib.closing(Store(postgres_url, busy_seconds=3.0)) as store, store.reading() as db:
        found = {
            name: db.scalar(sa.text(f"show {name}"))
            for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        }

    assert found == {
        "lock_timeout": "3s",
        "statement_timeout": "30s",
        "idle_in_transaction_session_timeout": "5s",
    }


def test_a_lock_that_another_holds_is_waited_for_no_longer_than_set(postgres_url: str, job: Callable[..., Job]) -> None:
    """A row that another transaction has locked is `StoreBusy` after `busy_seconds`."""
    with (
        contextlib.closing(Store(postgres_url)) as one,
        contextlib.closing(Store(postgres_url, busy_seconds=0.2)) as other,
    ):
        one.insert(job())
        with one.writing() as db:
            db.execute(sa.text("update job set version = version"))
            with pytest.raises(StoreBusy), other.change(job().token) as changed:
                changed.cancel(EXAMPLE_TIME)

        assert not other.load(job().token).state.ended


@pytest.mark.parametrize(
    ("code", "committed"),
    [
        (sqlite3.SQLITE_BUSY, False),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_IOERR_FSYNC, False),
        (sqlite3.SQLITE_IOERR_DIR_FSYNC, None),
        (sqlite3.SQLITE_IOERR_DELETE, None),
        (sqlite3.SQLITE_CORRUPT, None),
    ],
)
def test_an_error_after_the_journal_is_deleted_leaves_the_outcome_of_an_sqlite_commit_open(
    sqlite_url: str, code: int, committed: bool | None
) -> None:
    """To delete the journal is the commit; the folder is synced after it."""
    cause = sqlite3.OperationalError("disk I/O error")
    cause.sqlite_errorcode = code
    error = sa.exc.OperationalError("COMMIT", None, cause)

    assert SQLite(sqlite_url, 1.0).is_committed(None, error, 0.0) is committed


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_commit_that_a_reader_keeps_out_changes_nothing(sqlite_url: str, job: Callable[..., Job], mode: str) -> None:
    """With the rollback journal, COMMIT waits for readers; then it is undone, and the next change is stored."""
    sqlite_store = Store(databases.migrated(sqlite_url, journal=mode), busy_seconds=0.2)
    with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM job").fetchone()
        kept_out = contextlib.nullcontext() if mode == "wal" else pytest.raises(StoreBusy)
        with kept_out as caught:
            sqlite_store.insert(job(token="first"))
        assert caught is None or not isinstance(caught.value, OutcomeUnknown)
    sqlite_store.insert(job(token="second"))

    expected = ["first", "second"] if mode == "wal" else ["second"]
    assert [one.token for one in sqlite_store.open_jobs()] == expected
    sqlite_store.close()
