"""A PostgreSQL server that accepts connections and answers nothing: no transaction waits for it."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator

import databases
import postgres
import pytest
import sqlalchemy as sa
from postgres import Postgres
from works import PATIENCE, until

from postscan.core.errors import OutcomeUnknown, StoreBusy
from postscan.core.store.database import postgresql
from postscan.core.store.database.silence import SilenceWatch
from postscan.core.store.store import Store

CHANGE = sa.text("insert into mark values (1, 'boot', 0, 0) on conflict (id) do update set ticks = mark.ticks + 1")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that may be stopped."""
    if postgres.programs() is None:
        pytest.skip(postgres.NOT_HERE)
    with postgres.running() as server:
        yield server


@pytest.fixture
def store(server: Postgres, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store with connections that were used before."""
    url = databases.create(server.url, f"silence_{abs(hash(request.node.nodeid))}", with_tables=True)
    with contextlib.closing(Store(url)) as store:
        read(store)
        yield store


@contextlib.contextmanager
def frozen(server: Postgres) -> Iterator[None]:
    """Let the processes of the server stand still while the body runs."""
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


def read(store: Store) -> None:
    """Read something."""
    with store.reading() as db:
        db.execute(sa.text("select 1"))


def is_read(store: Store) -> bool:
    """Return whether something can be read."""
    try:
        read(store)
    except StoreBusy:
        return False
    return True


def test_nothing_waits_for_a_server_that_stands_still_and_all_goes_on_with_it(server: Postgres, store: Store) -> None:
    """F-R13: each transaction is `StoreBusy`, those with a connection and those without one."""
    refused: list[StoreBusy] = []

    def try_to_read() -> None:
        try:
            read(store)
        except StoreBusy as error:
            refused.append(error)

    with frozen(server):
        threads = [threading.Thread(target=try_to_read) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(refused) == 6
    until(lambda: is_read(store), "for the server to answer again")


def test_a_change_that_a_server_does_not_answer_is_undone_or_of_unknown_outcome(
    server: Postgres, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """F-R14: a statement before COMMIT, and COMMIT itself."""
    with contextlib.ExitStack() as ends, pytest.raises(StoreBusy), store.writing() as db:
        db.execute(CHANGE)
        ends.enter_context(frozen(server))
        db.execute(CHANGE)
    until(lambda: is_read(store), "for the server to answer again")
    with (
        caplog.at_level(logging.WARNING),
        contextlib.ExitStack() as ends,
        pytest.raises(OutcomeUnknown),
        store.writing() as db,
    ):
        db.execute(CHANGE)
        sa.event.listen(db.engine, "commit", lambda _: ends.enter_context(frozen(server)), once=True)

    assert [one.getMessage() for one in caplog.records] == ["commit interrupted"]


def sleep(store: Store, seconds: float) -> object:
    """Let a statement take so long, and return its result."""
    with store.reading() as db:
        return db.scalar(sa.text("select pg_sleep(:seconds)"), {"seconds": seconds})


def sessions(store: Store) -> list[int]:
    """Return the processes that serve the other connections to this database."""
    with store.reading() as db:
        found = db.execute(
            sa.text(
                "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
                " and backend_type = 'client backend'"
            )
        )
        return list(found.scalars())


def test_a_slow_statement_is_not_ended(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers while it works, on a very busy machine later than usual."""
    for name in ("_ANSWER_SECONDS", "_CONNECT_SECONDS"):
        monkeypatch.setattr(postgresql, name, int(PATIENCE))
    assert sleep(store, 3) == ""


def test_a_server_that_takes_no_connections_is_not_silent(server: Postgres, store: Store) -> None:
    """F-R13: on a busy machine a connection takes seconds. It is asked on one that is open, and answers there."""
    until(lambda: sessions(store), "for the connection on which the server is asked")

    with server.taking_no_connections():
        assert sleep(store, 5) == ""


def test_a_server_that_has_ended_the_connection_for_questions_is_asked_on_another_one(store: Store) -> None:
    """An administrator may end sessions, and a proxy those that do nothing."""
    until(lambda: sessions(store), "for the connection on which the server is asked")
    [asked] = sessions(store)
    with store.reading() as db:
        db.execute(sa.text("select pg_terminate_backend(:pid)"), {"pid": asked})
    until(lambda: not sessions(store), "for its end")

    assert sleep(store, 2) == ""
    assert len(sessions(store)) == 1


def test_a_server_is_silent_only_if_a_transaction_waits_as_long_as_the_question() -> None:
    """An answer to a transaction is an answer, also where one on the connection for questions is late."""
    before, late = [], threading.Semaphore(0)

    def answers() -> bool:
        before.append(watch.silent)
        assert late.acquire(timeout=PATIENCE)
        return False

    watch = SilenceWatch(answers)
    with contextlib.closing(watch):
        with watch.watched():
            until(lambda: len(before) == 1, "for the first question")
        late.release()
        with watch.watched():
            until(lambda: len(before) == 2, "for the second one")
            late.release()
            until(lambda: watch.silent, "for the server to be given up")
        late.release(100)

    assert before[:2] == [False, False]
