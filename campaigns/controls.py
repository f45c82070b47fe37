"""Remove the controls that protect the server, one at a time, and check that tests fail.

    python -m campaigns controls [ID ...]      all threats of the table, or those that are named
    python -m campaigns controls --copies 3    three rows at a time

`controls.toml` is the table: the threat, the control, its source lines, their replacement, and the tests that must fail
then. The campaign works in copies of the tree, so several rows can be tried at once.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from campaigns.tree_copy import FAILED, PASSED, Copy

TABLE: Final = Path(__file__).with_suffix(".toml")
TESTS_AT_ONCE: Final = 50


class NotThere(ValueError):
    """The lines of a control are not in its file exactly once: the table is out of date."""


@dataclass(frozen=True)
class Control:
    """One row: `lines` of `file` protect from `threat`; replaced by `instead`, each of `tests` must fail."""

    threat: str
    what: str
    file: str
    lines: str
    instead: str
    tests: tuple[str, ...]

    @classmethod
    def read(cls, **row: str | list[str]) -> Control:
        """Return the control in a row of the table; raise `TypeError` for a missing or unknown column."""
        return cls(**{**row, "tests": tuple(row["tests"])})  # type: ignore[arg-type]  # a wrong column is a TypeError

    def removed_from(self, source: str) -> str:
        """Return the source without the control; raise `NotThere`, or `SyntaxError` if the result is not Python."""
        if not self.lines or source.count(self.lines) != 1:
            raise NotThere(f"{self.threat}, {self.what}: {self.file} has its lines {source.count(self.lines)} times")
        spoilt = source.replace(self.lines, self.instead)
        compile(spoilt, self.file, "exec", dont_inherit=True)
        return spoilt


@dataclass
class Totals:
    """The results: the number of noticed controls, and a sentence for each that was not noticed."""

    noticed: int = 0
    survived: list[str] = field(default_factory=list)


class Copies:
    """Copies of the tree; a thread that needs one waits until one is free."""

    def __init__(self, copies: Sequence[Copy]) -> None:
        self._copies = tuple(copies)
        self._free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for copy in self._copies:
            self._free.put(copy)

    @contextmanager
    def one(self) -> Iterator[Copy]:
        """Lend a copy to the body."""
        copy = self._free.get()
        try:
            yield copy
        finally:
            self._free.put(copy)

    @contextmanager
    def threads(self) -> Iterator[ThreadPoolExecutor]:
        """Provide a thread for each copy; if the body is interrupted, end the tests that run and begin no others."""
        with ThreadPoolExecutor(len(self._copies)) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for copy in self._copies:
                    copy.interrupt()
                raise


def run(*arguments: str) -> int:
    """Run the campaign, print each row and the totals; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m campaigns controls")
    parser.add_argument("threat", nargs="*", help="T-A1, T-D1, T-O4 ...")
    parser.add_argument("--copies", type=int, default=1, help="how many rows are tried at a time (default: 1)")
    options = parser.parse_args(arguments)
    rows = table(options.threat)
    print(f"{len(rows)} controls against {', '.join(dict.fromkeys(row.threat for row in rows))}")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="controls-") as home:
        copies = [Copy(Path(home).resolve() / str(number)) for number in range(max(1, options.copies))]
        totals = campaign(copies, rows, lambda line: print(line, flush=True))
    for sentence in totals.survived:
        print(f"SURVIVED: {sentence}")
    print(f"{time.monotonic() - begun:.0f} s; {totals.noticed} noticed, {len(totals.survived)} survived")
    return 1 if totals.survived else 0


def table(threats: Sequence[str] = ()) -> list[Control]:
    """Return the rows of these threats, or all; raise `SystemExit` for a threat that has none."""
    rows = [Control.read(**row) for row in tomllib.loads(TABLE.read_text())["control"]]
    unknown = set(threats) - {row.threat for row in rows}
    if unknown:
        sys.exit(f"no control against {', '.join(sorted(unknown))}")
    return [row for row in rows if not threats or row.threat in threats]


def campaign(copies: Sequence[Copy], rows: Sequence[Control], report: Callable[[str], object]) -> Totals:
    """Check each row, as many at a time as there are copies, and report it in the table's order.

    Raises:
        NotThere: a row is outdated.
        RuntimeError: a test fails although all controls are present.
    """
    for row in rows:
        row.removed_from((copies[0].root / row.file).read_text())
    shared = Copies(copies)
    totals = Totals()
    with shared.threads() as pool:
        for unfit in pool.map(lambda tests: _unfit(shared, tests), _parts(rows)):
            if unfit:
                raise RuntimeError(unfit)
        for row, missed in zip(rows, pool.map(lambda row: _missed(shared, row), rows), strict=True):
            totals.survived += [f"{row.threat}, {row.what}: {one}" for one in missed]
            totals.noticed += not missed
            report(f"{row.threat:4} {'SURVIVED' if missed else 'noticed '} {row.what}")
    return totals


def _parts(rows: Sequence[Control]) -> list[list[str]]:
    """Divide the tests of all rows, each once, into parts; those of one file may share a server."""
    tests = sorted({test for row in rows for test in row.tests})
    return [tests[begin : begin + TESTS_AT_ONCE] for begin in range(0, len(tests), TESTS_AT_ONCE)]


def _unfit(copies: Copies, tests: Sequence[str]) -> str:
    """Run tests with all controls; return what went wrong, or an empty text."""
    with copies.one() as copy:
        unfit = other_than(PASSED, tests, copy.outcomes(tests))
        return f"{copy.output()}\nalthough all controls are present: {'; '.join(unfit)}" if unfit else ""


def _missed(copies: Copies, row: Control) -> list[str]:
    """Run a row's tests without its control; return a sentence for each test that did not fail."""
    with copies.one() as copy:
        spoilt = row.removed_from((copy.root / row.file).read_text())
        with copy.changed(row.file, spoilt):
            return other_than(FAILED, row.tests, copy.outcomes(row.tests))


def other_than(expected: str, tests: Sequence[str], outcomes: Mapping[str, str]) -> list[str]:
    """Return a sentence for each test with another outcome."""
    return [f"{test} {outcomes.get(test, 'did not run')}" for test in tests if outcomes.get(test) != expected]
