"""The promises of the server in a flood, and whether it kept them."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from acceptance.server import Server

from campaigns import promises
from campaigns.flood import measures, presence
from campaigns.flood.phases import CANCEL, COMMAND, GET, Findings, Phase
from campaigns.whole_job import Job
from postscan.core.errors import JobNotFound
from postscan.core.store.database.sqlite import READERS

GET_SECONDS: Final = 0.05
CANCEL_SECONDS: Final = 0.5
COMMAND_SECONDS: Final = 3.0
TIMES_QUIET: Final = 3.0
_TIMED: Final = (
    (GET, 0.99, GET_SECONDS, TIMES_QUIET),
    (CANCEL, 1.0, CANCEL_SECONDS, TIMES_QUIET),
    (COMMAND, 1.0, COMMAND_SECONDS, 0.0),
)
"""What the bystander does, the share of it, the most seconds that it takes, or times its quiet figure."""

DATABASE: Final = ("file .sqlite", "file .sqlite-wal")
MOST_CONNECTIONS: Final = READERS + 1  # with the writer
MORE_MEMORY: Final = 150 << 20
MEMORY_NOISE: Final = 16 << 20
"""Bytes by which the memory of two equal floods may differ: what the allocator keeps depends on the order of things."""


@dataclass(frozen=True)
class Verdict:
    """One promise, the figure that was measured, and whether the promise was kept.

    A promise that is `timed` depends on the machine, and is tried only on one with nothing else to do.
    """

    promise: str
    figure: str
    is_kept: bool
    is_timed: bool = False


def all_of(findings: Findings) -> list[Verdict]:
    """Return the verdicts on all promises."""
    return [
        *(verdict for phase in findings.floods for verdict in of_bystander(findings, phase)),
        *_of_memory(findings.quiet, findings.floods),
        *(of_descriptors(phase) for phase in findings.floods),
        *(of_sentences(f"{phase.name}: all jobs end", phase.unended) for phase in findings.floods),
        of_sentences("every request of the bystander is served", findings.notes.broken or presence.idle(findings)),
        _of_acknowledged(findings),
        of_sentences("the log has no traceback", _tracebacks(findings.log)),
    ]


def of_bystander(findings: Findings, phase: Phase) -> list[Verdict]:
    """Judge how soon the bystander got what it asked for in a phase."""
    return [_timed(findings, phase, *promise) for promise in _TIMED]


def _timed(findings: Findings, phase: Phase, what: str, share: float, bound: float, times_quiet: float) -> Verdict:
    """Judge how long this share of what the bystander did took; what it hardly did is not kept."""
    timed = findings.of_bystander()[what]
    seconds, quiet = (measures.percentile(one.of(timed), share) for one in (phase, findings.quiet))
    bound = max(bound, times_quiet * quiet) if math.isfinite(quiet) else bound
    number = len(phase.of(timed))
    is_kept = seconds <= bound and presence.is_shown(findings, phase, what)
    promise = f"{phase.name}: {what}, {'slowest' if share == 1.0 else f'p{share * 100:g}'}"
    return Verdict(promise, f"{shown(seconds)} of {number}, at most {shown(bound)}", is_kept, is_timed=True)


def _of_acknowledged(findings: Findings) -> Verdict:
    """Judge what is lost; where nothing was acknowledged, nothing is kept."""
    number = len(findings.acknowledged()) + sum(len(job.acknowledged) for job in findings.notes.jobs)
    promise = f"nothing of {number} acknowledged operations is lost, after a kill and a start"
    return of_sentences(promise, findings.lost or ([] if number else ["nothing was acknowledged"]))


def _of_memory(quiet: Phase, floods: Sequence[Phase]) -> list[Verdict]:
    grown = floods[0].peak - quiet.ended.resident
    verdicts = [Verdict("memory grows", f"{mib(grown)}, at most {mib(MORE_MEMORY)}", grown <= MORE_MEMORY)]
    for before, phase in itertools.pairwise(floods):
        more = phase.peak - before.peak
        figure = f"{mib(more)}, noise {mib(MEMORY_NOISE)}"
        verdicts.append(Verdict(f"{phase.name}: memory grows again", figure, more <= MEMORY_NOISE))
    return verdicts


def of_descriptors(phase: Phase) -> Verdict:
    """Judge the descriptors that stay open."""
    left = beyond_database(phase.descriptors, phase.left)
    figure = ", ".join(f"{number} {kind}" for kind, number in sorted(phase.left.items()))
    return Verdict(f"{phase.name}: descriptors that stay open", figure or "none", not left)


def beyond_database(before: Counter[str], left: Counter[str]) -> Counter[str]:
    """Return which of the descriptors *left* are no connections to the database: these are kept, up to their number."""
    pooled = {kind for kind in DATABASE if before[kind] + left[kind] <= MOST_CONNECTIONS}
    return Counter({kind: number for kind, number in left.items() if kind not in pooled})


def of_sentences(promise: str, broken: Sequence[str]) -> Verdict:
    """Return the verdict on a promise that is kept unless there are sentences against it."""
    return Verdict(promise, "; ".join(broken[:3]) or "yes", not broken)


def _tracebacks(log: str) -> list[str]:
    """Return each traceback of a log, with the line before it."""
    return [f"{before[-200:]}Traceback{after[:3000]}" for before, after in itertools.pairwise(log.split("Traceback"))]


def lost(server: Server, jobs: Sequence[Job], acknowledged: Sequence[tuple[str, str]]) -> list[str]:
    """Return a sentence for everything that was acknowledged and is not there: whole jobs, and those of the flood."""
    sentences = [one for job in jobs for one in promises.acknowledged(job)]
    sentences += [one for job in jobs if len(job.acknowledged) == 4 for one in promises.ended(job)]
    store = server.works.core.store
    for token, what in acknowledged:
        try:
            state = str(store.load(token).state)
        except JobNotFound:
            state = "not stored"
        if (
            state == "not stored"
            or (what == "end" and state == "Creating")
            or (what == "cancel" and state not in ("Canceled", "Terminating"))
        ):
            sentences.append(f"the {what} of job {token} was acknowledged, and the job is {state}")
    return sentences


def shown(seconds: float) -> str:
    """Return seconds as milliseconds."""
    return "never" if math.isinf(seconds) else f"{seconds * 1000:.0f} ms"


def mib(size: int) -> str:
    """Return bytes as MiB."""
    return f"{size / (1 << 20):.0f} MiB"
