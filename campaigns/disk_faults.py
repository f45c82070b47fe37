"""Let every call that changes the data fail once, with EIO and with ENOSPC, and check the response of the server.

    python -m campaigns faults [delivered | withdrawn | stopped ...] [every=K]

The sweep is that of the crash points, but the server keeps running. The response may be a temporary error, an internal
error or a failed operation, or success if the server did not need the call; never success for data that is not
durable. Then, without the fault, the device repeats the identical request, and the job must end as without it (F-R3,
F-R10, F-R12). At the end the server is killed and started again: all acknowledged data must be there.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from acceptance.server import Server, running
from works import alive

from campaigns import promises, tracing
from campaigns.crash_points import SETTINGS, TRIES, Sweep, chosen
from campaigns.whole_job import Job, NoAnswer, Refused

ERRORS: Final = ("EIO", "ENOSPC")
CALLS: Final = ("openat", "write", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "link", "unlink", "mkdir")
PERMITTED: Final = ("dsp:ServerErrorTemporaryError", "dsp:ServerErrorInternalError", "dsp:OperationFailed")
_TRIES: Final = 3


@dataclass(frozen=True)
class Failure:
    """The `number`-th `call` of the thread `role` fails with `error` during a job of this kind."""

    kind: str
    role: str
    call: str
    number: int
    error: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.role} {self.call} #{self.number} {self.error}"


@dataclass
class Tally:
    """The results of a sweep: failures by call and kind of data, the responses, and broken promises."""

    covered: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)


class Faults:
    """Failures of one server's calls, one after the other."""

    def __init__(self, server: Server, tally: Tally) -> None:
        self._server = server
        self.tally = tally
        self._jobs: list[Job] = []
        self._log = server.home / "strace.log"

    def reach(self, failure: Failure) -> bool:
        """Inject this failure; return False if none of a few jobs made the call."""
        return any(self.inject(failure) for _ in range(TRIES))

    def inject(self, failure: Failure) -> bool:
        """Let one call fail, check response and data, and end the job; return False if the call was not made."""
        if not tracing.roles(self._server.pid).keys() >= set(tracing.DEVICE_ROLES):
            self._job("delivered").go_on()
        job = self._job(failure.kind)
        threads = tracing.roles(self._server.pid)[failure.role]
        with tracing.injected(threads, failure.call, f"error={failure.error}:when={failure.number}", self._log):
            self._drive(failure, job)
        hit = [call for call in tracing.read(self._log) if "(INJECTED)" in call.rest]
        for call in hit:
            about = call.touches(self._server.settings.storage.data_dir)
            self.tally.covered[about, call.name, failure.error] += 1
            self._note(failure, self._synced_again(call))
        self._note(failure, promises.acknowledged(job) + promises.ended(job))
        self._note(failure, promises.tidy(self._server, self._jobs))
        return bool(hit)

    def _drive(self, failure: Failure, job: Job) -> None:
        """Run the whole job; repeat a request after a permitted fault, as a device does."""
        for _ in range(_TRIES):
            try:
                job.go_on()
            except Refused as refused:
                self.tally.answers[str(refused.subcode)] += 1
                if refused.subcode not in PERMITTED:
                    self._note(failure, [f"a failing disk was answered with {refused}"])
            except (NoAnswer, AssertionError) as error:
                self._note(failure, [f"the job could not continue: {error!r}"])
                if not alive(self._server.pid):
                    self._note(failure, ["the server is dead"])
                    self._server.kill()
                    self._server.start()
                    return
            else:
                self.tally.answers["no fault"] += 1
                return
        self._note(failure, [f"the job was refused {_TRIES} times"])

    def _synced_again(self, failed: tracing.Call) -> list[str]:
        """Return a sentence if an fsync that failed is tried again on the same file (F-R3)."""
        if failed.name != "fsync":
            return []
        file = failed.rest.partition("<")[2].partition(">")[0]
        again = [call for call in tracing.read(self._log) if file in call.rest]
        is_file = "/spool/" in file and ".part" in file
        return [f"{file} was synced again after its sync had failed"] if is_file and len(again) > 1 else []

    def restart(self, kind: str) -> None:
        """Kill the server and start it again; check what it acknowledged to all jobs."""
        self._server.kill()
        self._server.start()
        for job in self._jobs:
            for sentence in promises.acknowledged(job):
                self.tally.violations.append(f"{kind}, after a restart: {sentence}")

    def _job(self, kind: str) -> Job:
        self._jobs.append(Job(self._server, kind))
        return self._jobs[-1]

    def _note(self, failure: Failure, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            if sentence not in self.tally.known:
                self.tally.known.add(sentence)
                self.tally.violations.append(f"{failure}: {sentence}")
                print(f"VIOLATION {failure}: {sentence}", file=sys.stderr, flush=True)


def run(*arguments: str) -> int:
    """Let every call of these kinds of jobs fail, or of all kinds; print the results and return the exit code."""
    kinds, stride = chosen(arguments)
    tally = Tally()
    for kind in kinds:
        with _server() as server:
            failing = points(server, kind)
        for error, (role, call) in itertools.product(ERRORS, sorted(failing)):
            numbers = failing[role, call][:: stride if call == "pwrite64" else 1]
            _sweep([Failure(kind, role, call, number, error) for number in numbers], tally)
            print(f"{kind:<10} {error:<7} {role:<10} {call:<10} {len(numbers):>4} failures", flush=True)
    _report(tally)
    return 1 if tally.violations else 0


def points(server: Server, kind: str) -> dict[tuple[str, str], list[int]]:
    """Return, for each thread and call, the numbers of the calls that change the server's data.

    The others wake threads up or send responses, and do not use the disk.
    """
    made: Counter[tuple[str, str]] = Counter()
    found = defaultdict(list)
    for role, call in Sweep(server).record(kind):
        made[role, call.name] += 1
        if call.name in CALLS and call.touches(server.settings.storage.data_dir) != "elsewhere":
            found[role, call.name].append(made[role, call.name])
    return found


def _sweep(failures: Sequence[Failure], tally: Tally) -> None:
    """Let one call after the other fail; then restart the server and check its data."""
    with _server() as server:
        faults = Faults(server, tally)
        for failure in failures:
            faults.reach(failure)
        faults.restart(failures[0].kind)


@contextlib.contextmanager
def _server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="faults-") as home, running(Path(home), SETTINGS) as server:
        yield server


def _report(tally: Tally) -> None:
    print("\nFailures by data and call:")
    for (about, call, error), number in sorted(tally.covered.items()):
        print(f"  {about:<12} {call:<10} {error:<7} {number:>5}")
    print("Responses:")
    for answer, number in tally.answers.most_common():
        print(f"  {answer:<32} {number:>5}")
    print(f"failures: {tally.covered.total()}; violations: {len(tally.violations)}")
