"""A commit, alone and beside each of the longest reads that the product makes, at 100,000 ended jobs.

The commits are those of the clock, one row each, as a server makes them; another process reads again and again. Commits
alone are measured in turn with those beside each read: the disk is not the same from one minute to the next.

    python -m bench commit_beside_reads
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any, Final

from bench import ended_jobs, servers
from bench.ended_jobs import BUSY
from postscan.core.clock import Mark
from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof
from postscan.core.spool import recovery
from postscan.doctor import machine

JOBS: Final = int(os.environ.get("BENCH_JOBS", "100000"))
COMMITS: Final = 300
ROUNDS: Final = int(os.environ.get("BENCH_ROUNDS", "3"))
PAUSE_SECONDS: Final = 0.002
ADMIN: Final = Principal("local:bench", Proof.LOCAL, admin=True)

READS: Final[dict[str, Callable[[Engine], object]]] = {
    "history of all, 1,000": lambda engine: engine.service.history(ADMIN, 1000),
    "history of a caller": lambda engine: engine.service.history(BUSY),
    "open jobs": lambda engine: engine.service.active(ADMIN),
    "audit trail, 10,000": lambda engine: engine.service.audit(ADMIN, None, 10_000),
    "export of the audit trail": lambda engine: sum(
        1 for _ in engine.audit_trail.older_than(datetime(9999, 1, 1, tzinfo=UTC), ADMIN)
    ),
    "doctor": lambda engine: list(machine.records(engine.settings)),
    "sweep": lambda engine: engine.retention.sweep(),
    "silent devices": lambda engine: list(engine.sweeper.expire()),
    "start": lambda engine: recovery.compare(engine.store, engine.spool),
}


def run() -> None:
    """Measure, and print."""
    with servers.folder() as folder:
        table = ended_jobs.settings(folder / "data")
        ended_jobs.fill(table, JOBS)
        print(
            f"{JOBS:,} ended jobs; a commit, in ms{'alone: p50':>20}{'p99':>8}{'beside: p50':>16}{'p99':>8}{'ratio':>8}"
        )
        with ended_jobs.engine(table) as engine, engine.store.served(print):
            for name in READS:
                _measure(engine, table, name)


def _measure(engine: Engine, table: dict[str, Any], name: str) -> None:
    alone: list[float] = []
    beside: list[float] = []
    with reading(table, name) as (start, reads):
        for _ in range(ROUNDS):
            start.clear()
            time.sleep(0.5)  # until the read that goes on is over
            alone += _commits(engine)
            start.set()
            beside += _commits(engine)
    ratio = _p99(beside) / _p99(alone)
    print(
        f"{name:<40}{_median(alone):>10.2f}{_p99(alone):>9.1f}{_median(beside):>14.2f}{_p99(beside):>9.1f}{ratio:>8.2f}"
        f"   one read {statistics.median(reads()) * 1000:.0f} ms"
    )
    sys.stdout.flush()


def _commits(engine: Engine) -> list[float]:
    seconds = []
    for number in range(COMMITS):
        time.sleep(PAUSE_SECONDS)
        begun = time.perf_counter()
        engine.store.keep_mark(Mark("bench", 0.0, float(number)))
        seconds.append(time.perf_counter() - begun)
    return seconds


@contextlib.contextmanager
def reading(table: dict[str, Any], name: str) -> Iterator[tuple[Event, Callable[[], list[float]]]]:
    """Run a process that reads while the event is set; yield the event, and what returns the seconds of its reads.

    Raises `SystemExit` with the error of that process, if it has one.
    """
    processes = multiprocessing.get_context("spawn")
    start, stop = processes.Event(), processes.Event()
    results, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=_read, args=(table, name, start, stop, sender))
    process.start()
    sender.close()  # then the end of the process ends the wait for a result

    def ended() -> list[float]:
        stop.set()
        start.set()
        return _result(results, name)

    try:
        _result(results, name)
        yield start, ended
    finally:
        stop.set()
        start.set()
        process.join()


def _read(table: dict[str, Any], name: str, start: Event, stop: Event, results: Connection) -> None:
    """Send an empty list when the reads can begin, the seconds of each at the end, or the text of an error."""
    seconds: list[float] = []
    try:
        with ended_jobs.engine(table) as engine:
            results.send([])
            while start.wait() and not stop.is_set():
                begun = time.perf_counter()
                READS[name](engine)
                seconds.append(time.perf_counter() - begun)
        results.send(seconds or [0.0])
    except Exception:
        results.send(traceback.format_exc())


def _result(results: Connection, name: str) -> list[float]:
    """Return what the process sends next; raise `SystemExit` with its error."""
    try:
        result: list[float] | str = results.recv()
    except EOFError:
        result = "it ended without a result"
    if isinstance(result, str):
        sys.exit(f"the process that reads ({name}) has failed: {result}")
    return result


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)] * 1000


def _median(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000
