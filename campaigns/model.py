"""Compare the engine with the model: all short sequences of requests, and random interleavings with crashes and faults.

    python -m campaigns model --exhaustive [LENGTH]       every sequence of up to LENGTH (default 4) requests
    python -m campaigns model --interleavings NUMBER [FIRST]   NUMBER seeds, from FIRST (default 0) on

The alphabet has 18 letters: two devices, each with Create, and with SendImage, End, Cancel and GetPostScanJobElements
on the first and on the second job. It is run three times, with three executors: one that never claims
a job, one that ends each job before the next request, and one that is killed while the job's filter runs.

All data is on a memory file system, where a sync is fast.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

from model.chance import NOBODYS, interleaving, opened
from model.engine import unheard
from model.saved import back_to, save
from model.trial import Trial, Violation
from model.world import ANNA, BORIS, Ask, Verb

LETTERS: Final = tuple(
    [(by, Verb.CREATE, 0) for by in (ANNA, BORIS)]
    + [
        (by, verb, slot)
        for by in (ANNA, BORIS)
        for slot in (0, 1)
        for verb in (Verb.SEND, Verb.END, Verb.CANCEL, Verb.GET)
    ]
)
EXECUTORS: Final = ("never claims", "finishes at once", "dies in the filter")
_CHUNK: Final = 2500

Found = tuple[Counter[str], list[str]]
"""The counts, and the violations."""


def run(*arguments: str) -> int:
    """Run the chosen campaigns; return 1 for a violation."""
    parser = argparse.ArgumentParser(prog="python -m campaigns model")
    parser.add_argument("--exhaustive", nargs="?", type=int, const=4, metavar="LENGTH")
    parser.add_argument("--interleavings", nargs="+", type=int, metavar=("NUMBER", "FIRST"))
    options = parser.parse_args(arguments)
    broken = 0
    if options.exhaustive:
        broken += _run_parts(
            _all_sequences, [(n, options.exhaustive, one) for one in EXECUTORS for n in range(len(LETTERS))]
        )
    if options.interleavings:
        number, first = [*options.interleavings, 0][:2]
        ends = [*range(first, first + number, _CHUNK), first + number]
        broken += _run_parts(_some_interleavings, list(itertools.pairwise(ends)))
    return 1 if broken else 0


def _run_parts(work: object, parts: list[tuple[object, ...]]) -> int:
    """Run the parts on all cores, print the results, and return the number of violations."""
    began, done, violations = time.monotonic(), Counter[str](), list[str]()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for number, (counts, found) in enumerate(pool.imap_unordered(_Unpacked(work), parts), start=1):
            print(f"{number} of {len(parts)} parts", flush=True)
            done += counts
            violations += found
            for one in found:
                print(f"\nVIOLATION {one}", flush=True)
    for what, number in sorted(done.items()):
        print(f"{number:>12,} {what}")
    print(f"{len(violations):>12,} violations, in {time.monotonic() - began:.0f} s")
    return len(violations)


class _Unpacked:
    """Call a function with the members of a tuple; picklable, for a process pool."""

    def __init__(self, function: object) -> None:
        self._function = function

    def __call__(self, arguments: tuple[object, ...]) -> Found:
        with unheard():
            return self._function(*arguments)


def _some_interleavings(first: int, last: int) -> Found:
    done, violations = Counter[str](), list[str]()
    trial = Trial()
    openings = opened(trial)
    for seed in range(first, last):
        try:
            interleaving(trial, openings, seed)
        except Violation as violation:
            violations.append(f"seed {seed}: {violation}")
        done["interleavings"] += 1
        done["steps"] += trial.moves
        done["crashes and restarts"] += sum(step in ("CRASH", "START") for step in trial.steps)
        done["transactions refused"] += sum(step.endswith("LOCKED") for step in trial.steps)
    _close(trial, violations)
    return done, violations


def _close(trial: Trial, violations: list[str]) -> None:
    """Close the trial; anything left over is a violation, too."""
    try:
        trial.close()
    except Violation as violation:
        violations.append(str(violation))


def _all_sequences(first: int, length: int, executor: str) -> Found:
    """Run every sequence that begins with one letter; run each prefix once and restore its state."""
    done, violations = Counter[str](), list[str]()
    trial = Trial()

    def walk(letters: Iterable[int], left: int) -> None:
        here = save(trial)
        for letter in letters:
            before = dict(trial.world.jobs)
            try:
                _run_letter(trial, letter, executor)
            except Violation as violation:
                violations.append(f"{executor}: {violation}")
            done[f"sequences with an executor that {executor}"] += 1
            if left > 1:
                walk(range(len(LETTERS)), left - 1)
                back_to(trial, here)
            elif trial.world.jobs != before:
                back_to(trial, here)

    walk([first], length)
    _close(trial, violations)
    return done, violations


def _run_letter(trial: Trial, letter: int, executor: str) -> None:
    by, verb, slot = LETTERS[letter]
    tokens = [*trial.world.jobs, NOBODYS, NOBODYS]
    trial.run(trial.ask(Ask(verb, by, "" if verb is Verb.CREATE else tokens[slot])))
    waiting = any(job.state in ("Pending", "Terminating") for job in trial.world.jobs.values())
    if executor == "never claims" or not waiting:
        return
    trial.run(trial.look())
    for actor in trial.live():
        actor.quick = True
        while not actor.over and (executor == "finishes at once" or actor.at != "filter"):
            trial.step(actor, "done" if actor.at == "filter" else "")
        if not actor.over:
            actor.kill()
