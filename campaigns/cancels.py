"""Cancel jobs at random moments, several at once, and check the promises of the server.

    python -m campaigns cancels [--count 1000] [--at-once 8] [--seed N]

Each job has five filters in random order: one checks its token, one never does, one swallows the cancel, one waits for
a tool, one computes in C. Most run briefly, some without end. For each job:

* it is final within grace + 2.5 s after its stored cancel (promise 4);
* no filter was started after the stored cancel: by the order of the stored events, and by the traces of the filters,
  which only the one that ran at the cancel may leave, and no later than `SLACK` (promise 3);
* each published delivery is on the disk, and each file on the disk was granted (promise 6);
* the stored events are a path of the table of states, and the last one is the end (promise 5);
* none of its processes is left.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from conftest import ANNA, AnyProcess
from works import SID, Works, alive

from postscan import migrations
from postscan.core.engine import Engine
from postscan.core.errors import JobNotFound
from postscan.core.model.job import Job, JobToken
from postscan.core.model.process import FilterInstructions, Instructions
from postscan.core.model.records import EventRow
from postscan.core.model.states import TRANSITIONS, FilterState, JobState
from postscan.core.settings import Settings

FILTERS: Final = ("cooperative", "careless", "swallowing", "waiting", "deaf")
GRACE: Final = 0.4
MOST_SECONDS: Final = GRACE + 2.5
SLACK: Final = 0.5
FILTER_SECONDS: Final = 0.25  # from the end of one filter to the begin of the next one, on an idle machine
LONG: Final = 600.0
_PLUGIN: Final = Path(__file__).resolve().parent.parent / "tests" / "outside" / "chain"


@dataclass
class Totals:
    """The results of all jobs: counts of ends, seconds of each stop, and a sentence for each broken promise."""

    ends: Counter[str] = field(default_factory=Counter)
    stopped_in: dict[str, list[float]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """A job to cancel: its filters with their seconds of work, and the seconds until the cancel on an idle machine."""

    filters: tuple[tuple[str, float], ...]
    after: float


def run(*arguments: str) -> int:
    """Run the campaign, print totals and violations; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m campaigns cancels")
    parser.add_argument("--count", type=int, default=1000, help="number of jobs")
    parser.add_argument("--at-once", type=int, default=8, help="jobs at the same time")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="to repeat a campaign")
    chosen = parser.parse_args(arguments)
    print(f"{chosen.count} jobs, {chosen.at_once} at once, seed {chosen.seed}")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cancels-") as home:
        totals = campaign(Path(home), chosen.count, chosen.at_once, chosen.seed)
    print(f"{time.monotonic() - begun:.0f} s; " + ", ".join(f"{n} {end}" for end, n in totals.ends.most_common()))
    for name, seconds in sorted(totals.stopped_in.items()):
        print(
            f"cancel while {name:12} ran: {len(seconds):4} times, final after "
            f"{statistics.median(seconds):.2f} s (median), {max(seconds):.2f} s (longest)"
        )
    for violation in totals.violations:
        print(f"VIOLATION: {violation}")
    print(f"{len(totals.violations)} violations")
    return 1 if totals.violations else 0


def campaign(
    home: Path, count: int, at_once: int, seed: int, most_seconds: float = MOST_SECONDS, slack: float = SLACK
) -> Totals:
    """Cancel *count* jobs on an engine with its data below *home*; each has to be final within *most_seconds*.

    The filter that ran at the cancel may leave a trace so many seconds of *slack* after it.
    """
    dice = random.Random(seed)
    cases = [_case(dice) for _ in range(count)]
    totals = Totals()
    with _engine(home, at_once) as works, ThreadPoolExecutor(at_once) as threads:
        limits = _Limits(most_seconds, slack, _slowness(works))
        for case, result in zip(
            cases, threads.map(lambda case: _CancelledJob(works, case, limits).run(), cases), strict=True
        ):
            totals.ends[result.end] += 1
            totals.violations += [f"{sentence} (job {result.token}, {case})" for sentence in result.violations]
            if result.running:
                totals.stopped_in.setdefault(result.running, []).append(result.seconds)
        totals.violations += _left_in(works.core.settings.storage.run_dir)
    return totals


@contextlib.contextmanager
def _engine(home: Path, slots: int) -> Iterator[Works]:
    out = home / "out"
    out.mkdir()
    table = {
        "storage": {"data_dir": str(home / "data")},
        "limits": {"open_jobs": 1_000_000},
        "plugins": {"disabled": ["acme", "fileshare", "stamp"]},
        "running": {"slots": slots, "term_seconds": 0.2, "cancel_answer_seconds": 0},
        "filters": {"acme": {"folder": str(out)}, "chain": {"folder": str(out)}},
    }
    settings = Settings.model_validate(table)
    migrations.upgrade(settings.storage.url)
    core = Engine(settings, AnyProcess())
    sys.path.append(str(_PLUGIN))
    try:
        with core.running():
            yield Works(core, ANNA)
    finally:
        sys.path.remove(str(_PLUGIN))
        core.close()


@dataclass(frozen=True)
class _Limits:
    """What a job is given: the seconds of `campaign`, and how many times longer than on an idle machine all takes."""

    most_seconds: float
    slack: float
    slowness: float


def _slowness(works: Works) -> float:
    """Return how many times longer than on an idle machine a job takes, at least 1: cancels come accordingly late."""
    begun = time.monotonic()
    works.ended(_start(works, [(name, 0.0) for name in FILTERS]))
    return max(1.0, (time.monotonic() - begun) / (len(FILTERS) * FILTER_SECONDS))


def _start(works: Works, filters: Sequence[tuple[str, float]]) -> JobToken:
    """Make a job with an image and these filters, and end it."""
    asked = tuple(FilterInstructions(f"urn:chain:{name}", f"<do>{seconds}</do>".encode()) for name, seconds in filters)
    token = works.service.create(works.by, SID, "P", Instructions("Invoice", asked))
    works.send(token)
    works.service.end(token, works.by)
    return token


def _case(dice: random.Random) -> Case:
    """Return a random case: shuffled filters, one in six without end, and a cancel during their work."""
    order = dice.sample(FILTERS, len(FILTERS))
    filters = tuple((name, LONG if dice.random() < 1 / 6 else round(dice.uniform(0, 0.3), 3)) for name in order)
    until_stuck = 0.0
    for _, seconds in filters:
        until_stuck += FILTER_SECONDS + min(seconds, 1.0)
        if seconds == LONG:
            break
    return Case(filters, round(dice.uniform(0, until_stuck * 1.1), 3))


@dataclass
class _JobResult:
    """One job: how it ended, the filter that ran at the cancel, and the seconds from the cancel to the end."""

    token: str
    end: str = ""
    running: str = ""
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


class _CancelledJob:
    """One job, from Create to its result."""

    def __init__(self, works: Works, case: Case, limits: _Limits) -> None:
        self._works = works
        self._limits = limits
        self._case = case

    def run(self) -> _JobResult:
        """Create the job, cancel it, wait for its end, and check it."""
        works = self._works
        token = _start(works, self._case.filters)
        time.sleep(self._case.after * self._limits.slowness)
        try:
            works.service.cancel(token, works.by)
        except JobNotFound:
            return self._check(works.ended(token), None)
        stored = time.monotonic()
        return self._check(works.ended(token), stored)

    def _check(self, job: Job, stored: float | None) -> _JobResult:
        result = _JobResult(job.token, f"{job.state}, {'cancelled' if stored else 'too late to cancel'}")
        events = self._works.service.events(job.token, self._works.by)
        result.violations += _path(events)
        result.violations += self._on_disk(job)
        result.violations += [
            f"process {line[2]} of {line[1]} is left"
            for line in self._works.trace(job.token)
            if line[0] in ("begun", "tool") and alive(int(line[2]))
        ]
        if (stored is None) != (job.state is JobState.COMPLETED):
            result.violations.append(f"the job is {job.state}")
        if stored is not None:
            result.violations += _after_cancel(events)
            self._measure(job, events, result)
            result.violations += self._traced_after(job, stored, result.running)
        return result

    def _measure(self, job: Job, events: list[EventRow], result: _JobResult) -> None:
        cancelled = next((one for one in events if _state(one) == JobState.TERMINATING), None)
        if cancelled is None or job.completed is None:
            return
        result.seconds = (job.completed - cancelled.at).total_seconds()
        result.running = _running_at(events, cancelled.seq, [name for name, _ in self._case.filters])
        if result.seconds > self._limits.most_seconds:
            result.violations.append(f"final after {result.seconds:.2f} s; promised: {self._limits.most_seconds} s")

    def _traced_after(self, job: Job, stored: float, running: str) -> list[str]:
        return [
            f"{line[1]} traced {line[0]!r} {float(line[3]) - stored:.3f} s after the stored cancel"
            for line in self._works.trace(job.token)
            if float(line[3]) > stored + (self._limits.slack if line[1] == running else 0.0) or line[0] == "granted"
        ]

    def _on_disk(self, job: Job) -> list[str]:
        rows = self._works.service.deliveries(job.token, self._works.by)
        folder = self._works.out / job.token
        files = {path.name for path in folder.iterdir() if path.suffix == ".png"} if folder.exists() else set()
        granted, published = {row.name for row in rows}, {row.name for row in rows if row.published}
        return [f"{name} is published and not on the disk" for name in published - files] + [
            f"{name} is on the disk and was never granted" for name in files - granted
        ]


def _path(events: list[EventRow]) -> list[str]:
    """Check the order of the stored events."""
    states = [JobState(state) for state in map(_state, events) if state]
    broken = [
        f"{before} was followed by {after}"
        for before, after in itertools.pairwise(states)
        if after not in TRANSITIONS[before].values()
    ]
    kinds = [event.kind for event in events]
    if kinds.count("JobEnded") != 1 or kinds[-1] != "JobEnded":
        broken.append(f"{kinds.count('JobEnded')} events of the end, and the last event is {kinds[-1]}")
    return broken


def _after_cancel(events: list[EventRow]) -> list[str]:
    """Check that no filter was started after the stored cancel."""
    cancels = [event.seq for event in events if _state(event) in (JobState.TERMINATING, JobState.CANCELED)]
    return [
        f"filter {event.fields['position']} was started after the stored cancel"
        for event in events
        if event.seq > cancels[0] and _filter_state(event) == FilterState.PROCESSING
    ]


def _running_at(events: list[EventRow], seq: int, names: list[str]) -> str:
    """Return which filter was running when the event *seq* was stored."""
    running = ""
    for event in events:
        if event.seq < seq and event.kind == "FilterStateChanged":
            running = names[event.fields["position"]] if _filter_state(event) == FilterState.PROCESSING else ""
    return running


def _state(event: EventRow) -> str:
    return event.fields["state"] if event.kind == "JobStateChanged" else ""


def _filter_state(event: EventRow) -> str:
    return event.fields["state"] if event.kind == "FilterStateChanged" else ""


def _left_in(run_dir: Path) -> list[str]:
    """Check that the folder of the runs becomes empty."""
    _wait(lambda: not list(run_dir.iterdir()), 2.0)
    return [f"{path.name} is left in the run folder" for path in run_dir.iterdir()]


def _wait(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
