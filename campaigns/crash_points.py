"""Kill the server at every call that changes its data, start it again, and check its promises.

    python -m campaigns crash [delivered | withdrawn | stopped ...] [every=K]

First, one job of each kind is recorded to find which thread makes which calls. Then, for each of these and for
N = 1, 2, 3 ..., a new job is run against a server that is killed at the N-th such call of that thread, until jobs
complete before the N-th call. After each kill the server is started again, the acknowledged requests are compared with
the stored data, the device continues with the identical request, and the job must end as without the kill (F-R1,
F-R23).

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from acceptance.server import Server, none_alive, running
from works import alive

from campaigns import promises, tracing
from campaigns.tracing import Call
from campaigns.whole_job import SWEPT, Job, NoAnswer, Refused, send_query

SETTINGS: Final = {"running": {"slots": 1, "term_seconds": 0.3}}
_GONE_SECONDS: Final = 5.0

TRIES: Final = 5
"""Jobs in which a point is looked for: a thread makes fewer calls when another one commits its change with its own."""


@dataclass(frozen=True)
class Point:
    """The `number`-th `call` that the thread `role` makes during a job of this kind."""

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
    """Kills of one server, one after the other, on the same data."""

    def __init__(self, server: Server, tally: Tally | None = None) -> None:
        self._server = server
        self.tally = tally or Tally()
        self._jobs: list[Job] = []
        self._log = server.home / "strace.log"

    def reach(self, point: Point) -> bool:
        """Inject at *point*; return False if none of a few jobs reached it."""
        return any(self.inject(point) for _ in range(TRIES))

    def inject(self, point: Point) -> bool:
        """Kill the server at *point*, check its data, and end the job; return False if the point was not reached."""
        self._warm_up()
        family = self._server.family()
        job = self._job(point.kind)
        thread = self._roles()[point.role]
        try:
            with tracing.injected(thread, point.call, f"signal=SIGKILL:when={point.number}", self._log):
                job.go_on()
        except NoAnswer:
            self._restart(point, family)
            self._check(point, job)
            return True
        self._note(point, promises.ended(job))
        return False

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
                self._note(point, ["a worker outlived its server"])
                break
            time.sleep(0.01)

    def _check(self, point: Point, job: Job) -> None:
        try:
            self._note(point, promises.acknowledged(job))
            job.go_on()
            self._note(point, promises.acknowledged(job) + promises.ended(job))
        except (NoAnswer, Refused, AssertionError) as error:
            self._note(point, [f"the job could not continue: {error}"])
        self._note(point, promises.tidy(self._server, self._jobs))

    def _warm_up(self) -> None:
        """Start every thread of the server."""
        if len(tracing.threads(self._server.pid)) < len(tracing.ROLES):
            self._job("delivered").go_on()

    def _roles(self) -> dict[str, int]:
        return tracing.roles(self._server.pid, lambda: send_query(self._server))

    def _job(self, kind: str) -> Job:
        self._jobs.append(Job(self._server, kind))
        return self._jobs[-1]

    def _note(self, point: Point, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            if sentence not in self.tally.known:
                self.tally.known.add(sentence)
                self.tally.violations.append(f"{point}: {sentence}")

    def record(self, kind: str) -> list[tuple[str, Call]]:
        """Return the calls of one job in order, each with the role of its thread."""
        self._warm_up()
        roles = {thread: role for role, thread in self._roles().items()}
        with tracing.recorded(self._server.pid, self._log):
            self._job(kind).go_on()
        return [(roles[one.thread], one) for one in tracing.read(self._log) if one.thread in roles]


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
    kinds, stride = chosen(arguments)
    tally = Tally()
    recorded = 0
    for kind in kinds:
        with _server() as server:
            calls = Counter((role, call.name) for role, call in Sweep(server).record(kind))
        recorded += calls.total()
        for role, call in sorted(calls):
            met = _sweep(kind, role, call, tally, stride if call == "pwrite64" else 1)
            print(f"{kind:<10} {role:<10} {call:<10} {met:>4} points ({calls[role, call]} recorded)", flush=True)
    _report(tally, recorded)
    return 1 if tally.violations else 0


def chosen(arguments: Sequence[str]) -> tuple[list[str], int]:
    """Return the kinds of jobs and the stride for `pwrite64`; exit for an unknown argument."""
    kinds = [one for one in arguments if not one.startswith("every=")]
    strides = [one.removeprefix("every=") for one in arguments if one.startswith("every=")]
    unknown = sorted(set(kinds) - set(SWEPT)) + [one for one in strides if not one.isdecimal() or one == "0"]
    if unknown:
        sys.exit(f"there is no {', '.join(unknown)}; there are: {', '.join(SWEPT)}, every=<a number from 1>")
    return kinds or list(SWEPT), int(strides[-1]) if strides else 1


def _sweep(kind: str, role: str, call: str, tally: Tally, stride: int) -> int:
    """Inject at every number, or each *stride*-th, until one is not reached; return how many were."""
    known = len(tally.violations)
    with _server() as server:
        sweep = Sweep(server, tally)
        for met, number in enumerate(itertools.count(1, stride)):
            if not sweep.reach(Point(kind, role, call, number)):
                return met
            for sentence in tally.violations[known:]:
                print(f"VIOLATION {sentence}", file=sys.stderr, flush=True)
            known = len(tally.violations)
    raise AssertionError("a job makes finitely many calls")


@contextlib.contextmanager
def _server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="crash-") as home, running(Path(home), SETTINGS) as server:
        yield server


def _report(tally: Tally, recorded: int) -> None:
    print("\nKills by data and call:")
    for (about, call), number in sorted(tally.covered.items()):
        print(f"  {about:<12} {call:<10} {number:>5}")
    starts = sorted(tally.starts)
    if starts:
        print(f"from start to ready: median {starts[len(starts) // 2]:.1f} s, longest {starts[-1]:.1f} s")
    covered, broken = tally.covered.total(), len(tally.violations)
    print(f"points covered: {covered} (recorded beforehand: {recorded}); violations: {broken}")
