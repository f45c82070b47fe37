"""Kill the server at every call that changes its data, start it again, and check its promises.

    python -m campaigns crash [delivered | by-mail ...] [every=K]

First, one job of each kind is recorded to find which thread makes which calls. Then, for each of these and for
N = 1, 2, 3 ..., a new job is run against a server that is killed at the N-th such call of that thread, until jobs
complete before the N-th call. After each kill the server is started again, what was acknowledged is compared with the
stored data, the device continues with the identical request, and the job must end as without the kill (F-R1, F-R23,
F-R32).

The page of some kinds comes through a source. There the process of the source is killed in the same way: at the N-th
call that any of its threads makes, and at the N-th by which one sends something to the server or receives something
from it. The server runs on, and starts the source again.

Many calls are `pwrite64`: pages of the journal or the database between two syncs. `every=K` uses only each
K-th of these, and all other calls.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from acceptance.server import Server, none_alive, running
from works import alive

from campaigns import promises, source_job, tracing
from campaigns.source_job import SourceJob
from campaigns.tracing import Call
from campaigns.whole_job import SWEPT, Job, NoAnswer, Refused

SETTINGS: Final = {"running": {"slots": 1, "term_seconds": 0.3}}
_GONE_SECONDS: Final = 5.0

SOURCE: Final = "source"
"""The role of the process of an inlet, whatever its threads are."""

MESSAGES: Final = "messages"
"""The role of the same process, for what it sends to its server and receives from it."""

TRIES: Final = 5
"""Jobs in which a point is looked for: a thread makes fewer calls when another one commits its change with its own."""


@dataclass(frozen=True)
class Point:
    """The `number`-th `call` that a thread of this role makes during a job of this kind."""

    kind: str
    role: str
    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind}: {self.role} {self.call} #{self.number}"


@dataclass
class Tally:
    """The results of a sweep: kills by call and kind of data, and seconds from start to ready."""

    covered: Counter[tuple[str, str]] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    starts: list[float] = field(default_factory=list)


class Sweep:
    """Kills of one server or of its source, one after the other, on the same data."""

    def __init__(self, server: Server, tally: Tally | None = None) -> None:
        self._server = server
        self.tally = tally or Tally()
        self._jobs: list[Job | SourceJob] = []
        self._log = server.home / "strace.log"
        self._loaded = 0  # the process of a source that has brought a job

    def reach(self, point: Point) -> bool:
        """Inject at *point*; return False if none of a few jobs reached it."""
        return any(self.inject(point) for _ in range(TRIES))

    def inject(self, point: Point) -> bool:
        """Kill the server or the source at *point*, check the data, and end the job; return False if not reached."""
        if point.role in (SOURCE, MESSAGES):
            return self._kill_source(point)
        self._warm_up(point.kind)
        family = self._server.family()
        threads = tracing.roles(self._server.pid)[point.role]
        job = self._job(point.kind)
        has_answered = True
        try:
            with tracing.injected(threads, point.call, f"signal=SIGKILL:when={point.number}", self._log):
                job.go_on()
        except NoAnswer:
            has_answered = False
        if has_answered and tracing.most_of_one_thread(self._log) < point.number:
            self._note(point, promises.ended(job))
            return False
        self._restart(point, family)
        self._check(point, job)
        return True

    def _kill_source(self, point: Point) -> bool:
        """Kill the source of an inlet at *point*; the server starts it again, and the sender sends again."""
        process = self._warm_source(point.kind)
        path = tracing.socket_to_server(process) if point.role == MESSAGES else ""
        source_job.order_start(self._server, point.kind)
        job = self._job(point.kind)
        try:
            with tracing.injected_into_all(process, point.call, f"signal=SIGKILL:when={point.number}", self._log, path):
                job.go_on()
        except (NoAnswer, Refused, AssertionError) as error:
            self._note(point, [f"the job could not continue: {error}"])
        if tracing.most_of_one_thread(self._log) < point.number:
            self._note(point, promises.ended(job))
            return False
        if not _dies(process):
            self._note(point, ["the source was not killed"])
        self.tally.covered[point.role, point.call] += 1
        self._note(point, promises.acknowledged(job) + promises.ended(job) + promises.tidy(self._server, self._jobs))
        return True

    def _restart(self, point: Point, family: list[int]) -> None:
        if not _dies(self._server.pid):
            self._note(point, ["the server did not answer, and it was not killed"])
        self._server.kill()
        for call in tracing.read(self._log)[-1:]:
            self.tally.covered[call.touches(self._server.settings.storage.data_dir), call.name] += 1
        begun = time.monotonic()
        self._server.start()
        self.tally.starts.append(time.monotonic() - begun)
        while not none_alive(family):
            if time.monotonic() - begun > _GONE_SECONDS:
                self._note(point, ["a worker or a source outlived its server"])
                break
            time.sleep(0.01)

    def _check(self, point: Point, job: Job | SourceJob) -> None:
        try:
            self._note(point, promises.acknowledged(job))
            job.go_on()
            self._note(point, promises.acknowledged(job) + promises.ended(job))
        except (NoAnswer, Refused, AssertionError) as error:
            self._note(point, [f"the job could not continue: {error}"])
        self._note(point, promises.tidy(self._server, self._jobs))

    def _warm_up(self, kind: str) -> None:
        """Start every thread that a job of this kind needs, each once."""
        is_device = kind not in source_job.PLUGINS
        needed = tracing.DEVICE_ROLES if is_device else tracing.SOURCE_ROLES
        if not tracing.roles(self._server.pid).keys() >= set(needed):
            self._job("delivered" if is_device else kind).go_on()

    def _warm_source(self, kind: str) -> int:
        """Return the process of a source that has loaded all that a job needs."""
        if self._server.source(kind) != self._loaded:
            self._job(kind).go_on()
        self._loaded = self._server.source(kind)
        return self._loaded

    def _job(self, kind: str) -> Job | SourceJob:
        job = SourceJob(self._server, kind) if kind in source_job.PLUGINS else Job(self._server, kind)
        self._jobs.append(job)
        return job

    def _note(self, point: Point, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            if sentence not in self.tally.known:
                self.tally.known.add(sentence)
                self.tally.violations.append(f"{point}: {sentence}")

    def record(self, kind: str) -> list[tuple[str, Call]]:
        """Return the calls of one job in order, each with the role of its thread; then those of a source in another."""
        self._warm_up(kind)
        roles = {thread: role for role, threads in tracing.roles(self._server.pid).items() for thread in threads}
        with tracing.recorded(self._server.pid, self._log):
            self._job(kind).go_on()
        found = [(roles[one.thread], one) for one in tracing.read(self._log) if one.thread in roles]
        if kind in source_job.PLUGINS:
            process = self._warm_source(kind)
            socket = tracing.socket_to_server(process)
            with tracing.recorded(process, self._log, *tracing.SOURCE_CALLS):
                self._job(kind).go_on()
            found += [(MESSAGES if socket in one.rest else SOURCE, one) for one in tracing.read(self._log)]
        return found


def _dies(process: int) -> bool:
    """Wait briefly for the end of a process, whose sockets close first; return whether it has ended."""
    begun = time.monotonic()
    while alive(process):
        if time.monotonic() - begun > _GONE_SECONDS:
            return False
        time.sleep(0.01)
    return True


def run(*arguments: str) -> int:
    """Sweep all points of these kinds of jobs, or of all; print the results and return the exit code."""
    kinds, stride = chosen(arguments, (*SWEPT, *source_job.PLUGINS))
    tally = Tally()
    recorded = 0
    for kind in kinds:
        with _server(kind) as server:
            calls = Counter((role, call.name) for role, call in Sweep(server).record(kind))
        recorded += calls.total()
        for role, call in sorted(calls):
            met = _sweep(kind, role, call, tally, stride if call == "pwrite64" else 1)
            print(f"{kind:<10} {role:<10} {call:<10} {met:>4} points ({calls[role, call]} recorded)", flush=True)
    _report(tally, recorded)
    return 1 if tally.violations else 0


def chosen(arguments: Sequence[str], among: Sequence[str] = SWEPT) -> tuple[list[str], int]:
    """Return the kinds of jobs and the stride for `pwrite64`; exit for an unknown argument."""
    kinds = [one for one in arguments if not one.startswith("every=")]
    strides = [one.removeprefix("every=") for one in arguments if one.startswith("every=")]
    unknown = sorted(set(kinds) - set(among)) + [one for one in strides if not one.isdecimal() or one == "0"]
    if unknown:
        sys.exit(f"there is no {', '.join(unknown)}; there are: {', '.join(among)}, every=<a number from 1>")
    return kinds or list(among), int(strides[-1]) if strides else 1


def _sweep(kind: str, role: str, call: str, tally: Tally, stride: int) -> int:
    """Inject at every number, or each *stride*-th, until one is not reached; return how many were."""
    known = len(tally.violations)
    with _server(kind) as server:
        sweep = Sweep(server, tally)
        for met, number in enumerate(itertools.count(1, stride)):
            if not sweep.reach(Point(kind, role, call, number)):
                return met
            for sentence in tally.violations[known:]:
                print(f"VIOLATION {sentence}", file=sys.stderr, flush=True)
            known = len(tally.violations)
    raise AssertionError("a job makes finitely many calls")


@contextlib.contextmanager
def _server(kind: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="crash-") as home, server_for(kind, Path(home)) as server:
        yield server


def server_for(kind: str, home: Path) -> AbstractContextManager[Server]:
    """Run a server for jobs of this kind while the body runs: with an inlet, if they come through a source."""
    if kind in source_job.PLUGINS:
        return source_job.with_inlets(home, SETTINGS, kind)
    return running(home, SETTINGS)


def _report(tally: Tally, recorded: int) -> None:
    print("\nKills by data and call:")
    for (about, call), number in sorted(tally.covered.items()):
        print(f"  {about:<12} {call:<10} {number:>5}")
    starts = sorted(tally.starts)
    if starts:
        print(f"from start to ready: median {starts[len(starts) // 2]:.1f} s, longest {starts[-1]:.1f} s")
    covered, broken = tally.covered.total(), len(tally.violations)
    print(f"points covered: {covered} (recorded beforehand: {recorded}); violations: {broken}")
