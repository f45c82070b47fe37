"""A reader of changes beside writers of other threads and processes: it passes no event that is committed later."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from job_changes import EVERYTHING, told
from works import PATIENCE

from postscan.core.model.job import Job
from postscan.core.model.snapshot import JobChange
from postscan.core.store import jobs, outbox
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME


@pytest.fixture
def other(store: Store) -> Iterator[Store]:
    """A second store on the same database, as another process would have it."""
    with contextlib.closing(Store(store.url, busy_seconds=PATIENCE)) as other:
        yield other


def test_a_reader_never_passes_an_event_that_is_not_committed_yet(
    store: Store, other: Store, job: Callable[..., Job]
) -> None:
    """I27, T-A6: however long the commit of a transaction takes that wrote before others.

    SQLite lets the second one wait. PostgreSQL would draw the numbers before the commits, so the leader gives them
    behind these: the second one is seen alone, and the first one has a larger number when it comes.
    """
    cursor, heard = 0, list[JobChange]()

    def read() -> None:
        nonlocal cursor
        other.number_events()
        part, cursor = outbox.after(other.reading, cursor, EVERYTHING, None)
        heard.extend(part)

    second = threading.Thread(target=other.insert, args=(job(token="second"),))
    with store.writing() as db:
        if not store.has_one_writer:
            db.execute(sa.text("set local idle_in_transaction_session_timeout = 0"))  # the second one may need long
        jobs.insert(db, job(token="first"))
        second.start()
        if not store.has_one_writer:
            second.join()
            read()
            assert [one.job and one.job.token for one in heard] == ["second"]
    second.join()
    read()

    expected = ["first", "second"] if store.has_one_writer else ["second", "first"]
    assert [one.job and one.job.token for one in heard] == expected


def test_a_reader_beside_many_writers_hears_all(store: Store, other: Store, job: Callable[..., Job]) -> None:
    """I27: in order, without gaps, once each; two stores with three threads each stand for two processes."""
    errors: list[BaseException] = []

    def write(which: Store, name: str) -> None:
        try:
            for number in range(5):
                token = f"{name}-{number}"
                which.insert(job(token=token))
                with which.change(token) as stored:
                    stored.end(EXAMPLE_TIME)
                with which.change(token) as stored:
                    stored.cancel(EXAMPLE_TIME)
        except BaseException as error:
            errors.append(error)

    writers = [
        threading.Thread(target=write, args=(which, f"{n}-{m}"))
        for n, which in enumerate((store, other))
        for m in range(3)
    ]
    for writer in writers:
        writer.start()
    cursor, heard = 0, list[JobChange]()
    while True:
        over = not any(writer.is_alive() for writer in writers)
        store.number_events()
        part, cursor = outbox.after(store.reading, cursor, 4, None)
        heard += part
        if over and not part:
            break

    assert errors == []
    assert heard == told(store)
    assert len(heard) == 6 * 5 * 3
    states: dict[str, list[str]] = {}
    for one in heard:
        assert one.job is not None
        states.setdefault(one.job.token, []).append(one.job.state)
    assert set(map(tuple, states.values())) == {("Creating", "Pending", "Canceled")}
