"""Cut files on their way in: no half becomes a job, nothing of it is left, and the next file is a job.

    python -m campaigns cuts [--count 200] [--every 10] [--seed N] [--ways NAME ...] [--kinds NAME ...]

`count` files of each kind are cut on each way in, at random bytes. After every `every` cuts of a way, and after its
last one, a whole file is sent, which has to be one job within 2 s. The seed gives the same files and the same places
again; when the server reads what is another matter.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import samba

from campaigns.cuts import verdicts
from campaigns.cuts.ftp import CurlKilled, DataClosed, DataReset
from campaigns.cuts.mail import Mail
from campaigns.cuts.receiver import Receiver, receiving
from campaigns.cuts.scans import KINDS, Scan, new_scan
from campaigns.cuts.share import ShortFile, SmbclientKilled
from campaigns.cuts.way import NotTaken, Sending, Way
from campaigns.cuts.web import PutChunks, PutLength

WAYS: Final[dict[str, type[Way]]] = {
    one.name: one for one in (SmbclientKilled, ShortFile, CurlKilled, DataReset, DataClosed, PutLength, PutChunks, Mail)
}
"""In the order in which they are cut: those of the share first, whose files wait until they are refused."""

MOST_SECONDS: Final = 2.0
"""From the begin of a whole file until it is a job."""


@dataclass(frozen=True)
class Plan:
    """What is cut, and how often; a whole file may take `most_seconds` until it is a job."""

    ways: Sequence[str] = tuple(WAYS)
    kinds: Sequence[str] = tuple(KINDS)
    count: int = 200
    every: int = 10
    seed: int = 0
    most_seconds: float = MOST_SECONDS


@dataclass
class WayResult:
    """One way: the number of cuts, and the seconds from the begin of a whole file until it was a job, and delivered."""

    cuts: int = 0
    stored: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)


@dataclass
class Findings:
    """The results by way, how many cut files were whole and are jobs, and a sentence for each broken promise."""

    ways: dict[str, WayResult] = field(default_factory=dict)
    whole_by_chance: int = 0
    violations: list[str] = field(default_factory=list)


def run(*arguments: str) -> int:
    """Run the campaign, print its results; return the exit code: 2 if a way could not be tried."""
    plan = _plan(arguments)
    missing = {name: reason for name in plan.ways if (reason := lacks(WAYS[name]))}
    for name, reason in missing.items():
        print(f"{name}: NOT RUN: {reason}")
    ways = [name for name in plan.ways if name not in missing]
    if not ways:
        return 2
    print(f"{plan.count} cuts of {', '.join(plan.kinds)} on each way, seed {plan.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="cuts-") as home:
        found = campaign(Path(home), Plan(ways, plan.kinds, plan.count, plan.every, plan.seed))
    print(f"{found.whole_by_chance} of the files that were cut were whole all the same, and are jobs")
    print(f"{len(found.violations)} violations")
    return 1 if found.violations else 2 if missing else 0


def _plan(arguments: Sequence[str]) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m campaigns cuts")
    parser.add_argument("--count", type=int, default=Plan.count, help="cuts of each kind on each way")
    parser.add_argument("--every", type=int, default=Plan.every, help="cuts until a whole file is sent")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="to repeat a campaign")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=Plan.ways)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=Plan.kinds)
    chosen = parser.parse_args(arguments)
    return Plan(chosen.ways, chosen.kinds, chosen.count, chosen.every, chosen.seed)


def lacks(way: type[Way]) -> str:
    """Return why a way cannot be tried on this machine; "" if it can."""
    if way.inlet == "folder" and not samba.is_here():
        return samba.NOT_HERE
    missing = [program for program in way.needs if shutil.which(program) is None]
    return f"needs {', '.join(missing)}" if missing else ""


def campaign(home: Path, plan: Plan) -> Findings:
    """Do as `cut_all` with a server of its own, whose data are below *home*."""
    watches = any(WAYS[name].inlet == "folder" for name in plan.ways)
    with receiving(home, watches=watches) as receiver:
        return cut_all(receiver, plan)


def cut_all(receiver: Receiver, plan: Plan) -> Findings:
    """Cut the files of a plan on their way to this server; print what is found by the way."""
    return _Campaign(receiver, plan).run()


class _Campaign:
    """The cuts of a plan on one server, one way after the other."""

    def __init__(self, receiver: Receiver, plan: Plan) -> None:
        self._receiver = receiver
        self._plan = plan
        self._found = Findings()
        self._sendings: list[Sending] = []
        self._cuts: list[Sending] = []

    def run(self) -> Findings:
        """Cut, look for what is left, and return what was found."""
        ways = [WAYS[name](self._receiver) for name in self._plan.ways]
        self._warm_up(ways)
        for number, way in enumerate(ways):
            first = number % len(self._plan.kinds)  # so that the last kind of each way, which is sent whole, is another
            self._run_way(way, [*self._plan.kinds[first:], *self._plan.kinds[:first]])
        for way in ways:
            self._note(way.settle())
        self._finish()
        return self._found

    def _warm_up(self, ways: Sequence[Way]) -> None:
        """Send a whole file through each inlet, so that what is there afterwards is what there always is."""
        for way in {way.inlet: way for way in ways}.values():
            scan = new_scan(self._plan.kinds[0], random.Random(f"{self._plan.seed} first {way.inlet}"))
            way.send(scan)
            self._sendings.append(way.whole(scan))
        for sending in self._sendings:
            (page,) = sending.pages
            self._receiver.await_completed(page)
        self._receiver.begin_rest()

    def _run_way(self, way: Way, kinds: Sequence[str]) -> None:
        """Cut files of these kinds on one way, and send whole ones in between."""
        result = self._found.ways[way.name] = WayResult()
        dice_of_whole = random.Random(f"{self._plan.seed} whole {way.name}")
        last = self._plan.count * len(kinds)
        for kind in kinds:
            dice = random.Random(f"{self._plan.seed} {way.name} {kind}")
            for _ in range(self._plan.count):
                self._cut(way, new_scan(kind, dice), dice)
                result.cuts += 1
                if result.cuts % self._plan.every == 0 or result.cuts == last:
                    self._send_whole(way, new_scan(kind, dice_of_whole), result)
        print(_line(way.name, result), flush=True)

    def _cut(self, way: Way, scan: Scan, dice: random.Random) -> None:
        """Cut a file, and wait until nothing is left of it."""
        sending = way.cut(scan, dice)
        self._sendings.append(sending)
        self._cuts.append(sending)
        self._note(f"{sending.what}: left {left}" for left in self._receiver.left())

    def _send_whole(self, way: Way, scan: Scan, result: WayResult) -> None:
        """Send a whole file, and wait until it is a job, and delivered."""
        sending = way.whole(scan)
        self._sendings.append(sending)
        (page,) = sending.pages
        begun = time.monotonic()
        try:
            way.send(scan)
            self._receiver.await_stored(page)
            result.stored.append(time.monotonic() - begun)
            self._receiver.await_completed(page)
            result.delivered.append(time.monotonic() - begun)
        except (NotTaken, OSError, AssertionError, subprocess.TimeoutExpired) as error:
            self._note([f"{sending.what}: {type(error).__name__}: {error}"])
            return
        if result.stored[-1] > self._plan.most_seconds:
            promised = f"promised: {self._plan.most_seconds:g} s"
            self._note([f"{sending.what}: a job after {result.stored[-1]:.1f} s; {promised}"])
        self._note(f"{sending.what}: left {left}" for left in self._receiver.left())
        self._note(verdicts.half_pages(self._sendings, self._receiver.jobs()))

    def _finish(self) -> None:
        """Check all jobs, the share, and the server itself."""
        self._receiver.await_ended()
        jobs = self._receiver.jobs()
        self._note(verdicts.half_pages(self._sendings, jobs))
        self._note(verdicts.numbers(self._sendings, jobs))
        self._note(verdicts.deliveries(jobs, self._receiver.delivered()))
        self._note(verdicts.acknowledged(self._sendings))
        self._note(f"left at the end {left}" for left in self._receiver.left())
        self._note(self._receiver.ended_sources())
        self._note(f"the server has logged {line}" for line in self._receiver.server.tracebacks())
        cut = {sha256 for sending in self._cuts for sha256 in sending.pages}
        self._found.whole_by_chance = sum(sha256 in cut for job in jobs for sha256, _ in job.pages)

    def _note(self, sentences: Iterable[str]) -> None:
        """Keep each sentence once, and print it."""
        for sentence in sentences:
            if sentence not in self._found.violations:
                self._found.violations.append(sentence)
                print(f"VIOLATION {sentence}", flush=True)


def _line(name: str, result: WayResult) -> str:
    """Return what is printed of a way."""
    shown = ", ".join(
        f"{what} after {statistics.median(seconds):.2f} s (median), {max(seconds):.2f} s (longest)"
        for what, seconds in (("a job", result.stored), ("delivered", result.delivered))
        if seconds
    )
    return f"{name:<12} {result.cuts:>4} cuts, {len(result.stored)} whole files: {shown or 'none stored'}"
