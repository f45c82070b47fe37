"""The printed report of a flood."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from campaigns.flood import measures, presence, verdicts
from campaigns.flood.bystander import Notes, Timed
from campaigns.flood.phases import Findings, Phase
from campaigns.flood.verdicts import Verdict, shown

_MOST_OUTCOMES = 6
_EVENT = re.compile(r"^\S+Z (debug|info|warning|error) +(.*?)(?= +\w+=|$)")


def print_report(findings: Findings) -> int:
    """Print all of it; return the exit code, which is 1 if a promise is broken or if the run shows nothing."""
    phases = (findings.quiet, *findings.floods)
    for phase in findings.floods:
        print_clients(phase)
    print_times("bystander", findings.of_bystander(), phases)
    print_repeated(findings.notes)
    for phase in phases:
        print_use(phase, findings.log)
    return print_verdicts(verdicts.all_of(findings), presence.absent(findings))


def print_verdicts(all_of: Sequence[Verdict], absent: Sequence[str]) -> int:
    """Print the load, the verdicts, and why a run shows nothing; return the exit code."""
    print(f"load of this machine: {os.getloadavg()[0]:.1f} (one minute), {os.getloadavg()[1]:.1f} (five)\n")
    for verdict in all_of:
        print(f"{'kept  ' if verdict.is_kept else 'BROKEN'} {verdict.promise}: {verdict.figure}")
    for sentence in absent:
        print(f"SHOWS NOTHING {sentence}")
    broken = sum(not verdict.is_kept for verdict in all_of)
    print(f"\n{len(all_of)} promises, {broken} broken, {len(absent)} reasons why this run shows nothing")
    return 1 if broken or absent else 0


def print_clients(phase: Phase) -> None:
    """Print which clients were there in a phase, and what the server did to them."""
    print(f"{phase.name}, {phase.seconds:.0f} s")
    print(f"  {'clients':<22} {'wanted':>6} {'there':>7} {'most':>6}  what the server did")
    for kind, count in phase.clients().items():
        done = ", ".join(f"{outcome} {number}" for outcome, number in count["outcomes"].most_common(_MOST_OUTCOMES))
        print(f"  {kind:<22} {count['wanted']:>6} {count['mean']:>7.1f} {count['most']:>6}  {done}")
    print()


def print_times(who: str, all: Mapping[str, Timed], phases: Sequence[Phase]) -> None:
    """Print how long each of several things took in each phase."""
    print(f"{who:<31} {'phase':<18} {'number':>6} {'failed':>6} {'median':>8} {'p99':>8} {'slowest':>8}")
    for what, timed in all.items():
        for phase in phases:
            seconds = phase.of(timed)
            figures = " ".join(f"{shown(measures.percentile(seconds, share)):>8}" for share in (0.5, 0.99, 1.0))
            failed = sum(one == float("inf") for one in seconds)
            print(f"{what:<31} {phase.name:<18} {len(seconds):>6} {failed:>6} {figures}")


def print_repeated(notes: Notes) -> None:
    """Print how many whole jobs there were, and which of their requests were sent again."""
    repeated = ", ".join(f"{reason} {number}" for reason, number in notes.repeated.most_common()) or "none"
    print(f"whole jobs: {len(notes.jobs)}; requests that were sent again: {repeated}\n")


def print_use(phase: Phase, log: str) -> None:
    """Print what the server and its clients used in a phase, and what the log has of it."""
    clients = sum(one["processor"] for one in phase.senders)
    used = phase.ended.processor - phase.began.processor
    sizes = (phase.began.resident, phase.peak, phase.ended.resident)
    begin, peak, end = (f"{size / (1 << 20):.0f}" for size in sizes)
    print(
        f"{phase.name}, {phase.seconds:.0f} s: processor seconds of the server {used:.0f}, of the clients {clients:.0f}"
    )
    print(f"  memory of the server in MiB: {begin} at the begin, {peak} at most, {end} at the end")
    lines = log[phase.began.log : phase.ended.log].splitlines()
    events = Counter(found[2] for line in lines if (found := _EVENT.match(line)))
    print(f"  log: {len(lines)} lines, {_listed(events.most_common(_MOST_OUTCOMES))}")


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts) or "nothing"
