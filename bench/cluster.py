"""Commits with events on PostgreSQL, from 16 clients with 0.3 ms between their statements, and how late numbers are.

Side by side in one run: with the lock that each such commit took until events were numbered behind the commits, and
without it while a leader numbers them. Each client is a process with a connection of its own; it changes a job of its
own by the statements of the store, with a pause behind each as a network would make it. The server syncs its commits.

    python -m bench cluster
"""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy as sa

from postscan.core.cluster.event_numbering import EventNumbering
from postscan.core.cluster.leadership import AlwaysLeader
from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal, Proof, User
from postscan.core.model.process import FilterInstructions, Instructions, ScanProcess
from postscan.core.store import events
from postscan.core.store.schema import EVENT
from postscan.core.store.store import Store

CLIENTS: Final = 16
PAUSE_SECONDS: Final = 0.0003
SECONDS: Final = 5.0
ROUNDS: Final = 3
START_SECONDS: Final = 120.0
_AT: Final = datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)
_USER: Final = User("S-1-5-21-1-2-3-1001", "anna@fabrikam.example")
_LOCK: Final = "select pg_advisory_xact_lock(7)"
_EVENT: Final = (
    "insert into unnumbered_event (token, kind, at, fields, version, progress)"
    """ values (%(token)s, 'ImageReceived', now(), '{"document": 1, "size": 1, "sha256": ""}', %(version)s, 0)"""
)
_CHANGE: Final = (
    "select * from job where token = %(token)s for update",
    "update job set version = %(version)s where token = %(token)s",
    _EVENT,
    _EVENT,
)


def run() -> None:
    """Measure, and print."""
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "doubles"))
    import databases
    import postgres

    rates: dict[bool, list[float]] = {True: [], False: []}
    delays: list[float] = []
    with postgres.running(autovacuum=True, synced=True) as server:
        for number in range(ROUNDS):
            for locked in (True, False):
                url = databases.create(server.url, f"events_{number}_{locked:d}", with_tables=True)
                rate, late = _measured(url, locked=locked)
                rates[locked].append(rate)
                delays += [] if locked else late
    with_lock, without = (statistics.median(rates[locked]) for locked in (True, False))
    print(f"cluster: {CLIENTS} clients, {PAUSE_SECONDS * 1000:.1f} ms between statements, {ROUNDS} rounds in turn")
    print(f"  each commit takes the lock: {with_lock:.0f} commits/s ({_range(rates[True])})")
    print(f"  the leader numbers: {without:.0f} commits/s ({_range(rates[False])}); {without / with_lock:.1f} times")
    delays.sort()
    p50, p99 = (delays[int(len(delays) * part)] * 1000 for part in (0.5, 0.99))
    print(f"  from a commit to its number: p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {delays[-1] * 1000:.0f} ms")


def _range(rates: list[float]) -> str:
    return f"{min(rates):.0f} to {max(rates):.0f}"


def _measured(url: str, *, locked: bool) -> tuple[float, list[float]]:
    """Return the commits a second, and the seconds from a commit to its number for some of them."""
    context = multiprocessing.get_context("forkserver")
    over, begin, counts = context.Event(), context.Barrier(CLIENTS + 1), context.SimpleQueue()
    clients = [
        context.Process(target=_client, args=(url, number, locked, begin, over, counts)) for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    with contextlib.closing(Store(url)) as store:
        leader = EventNumbering(store, AlwaysLeader())
        leader.start()
        begin.wait(START_SECONDS)
        begun = time.monotonic()
        late = [] if locked else _delays(store, begun + SECONDS)
        time.sleep(max(0.0, begun + SECONDS - time.monotonic()))
        over.set()
        commits = sum(counts.get() for _ in clients)
        seconds = time.monotonic() - begun
        for client in clients:
            client.join()
        leader.stop()
        store.number_events()
        _check(store, commits)
    return commits / seconds, late


def _delays(store: Store, until: float) -> list[float]:
    """Commit a change now and then, and return how long each took to get a number."""
    found = []
    with contextlib.closing(Store(store.url)) as writer:
        for number in _ticks(until):
            token = f"late-{number}"
            writer.insert(_job(token))
            committed = time.monotonic()
            query = sa.select(sa.exists().where(EVENT.c.token == token))
            while True:
                with store.reading() as db:
                    if db.scalar(query):
                        break
                time.sleep(0.002)
            found.append(time.monotonic() - committed)
    return found


def _ticks(until: float) -> Iterator[int]:
    number = 0
    while time.monotonic() < until:
        yield number
        number += 1
        time.sleep(0.013)


def _client(url: str, number: int, locked: bool, begin: Barrier, over: Event, counts: Any) -> None:
    """Change a job of its own until it is over, by the statements of the store alone; then report how often.

    The store's own Python would take most of a processor that all clients and the database share.
    """
    with contextlib.closing(Store(url)) as store:
        token = f"job-{number}"
        store.insert(_job(token))
    address = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    done = 0
    with psycopg.connect(address) as connection:
        begin.wait(START_SECONDS)
        while not over.is_set():
            done += 1
            for statement in (*_CHANGE[:1], *((_LOCK,) if locked else ()), *_CHANGE[1:]):
                connection.execute(statement, {"token": token, "version": done}, prepare=True)
                time.sleep(PAUSE_SECONDS)
            connection.commit()
    counts.put(done)


def _check(store: Store, commits: int) -> None:
    """Fail if an event is missing, or one of a job is out of order."""
    with store.reading() as db:
        query = sa.select(EVENT.c.token, EVENT.c.version).where(EVENT.c.token.is_not(None)).order_by(EVENT.c.seq)
        found = db.execute(query).all()
        assert events.newest(db) >= len(found)
    by_job: dict[str, list[int]] = {}
    for token, version in found:
        by_job.setdefault(token, []).append(version)
    assert all(versions == sorted(versions) for versions in by_job.values()), "events of a job are out of order"
    made = [set(versions) for token, versions in by_job.items() if token.startswith("job-")]
    assert sum(map(len, made)) == commits + CLIENTS, "an event is missing"


def _job(token: str) -> Job:
    instructions = Instructions("Invoice", (FilterInstructions("urn:acme:copy", b"<do/>"),))
    process = ScanProcess("7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7", "Invoices", "", instructions)
    return Job.create(JobToken(token), Principal(f"device:{token}", Proof.ADDRESS), _USER, process, instructions, _AT)
