"""Remove the controls that protect the server, one at a time, and check that tests fail.

    python -m campaigns controls [ID ...]      all threats of the table, or those that are named

`controls.toml` is the table: the threat, the control, its source lines, their replacement, and the tests that must fail
then. The campaign works in a copy of the tree with an environment of its own, so that the tests, and the servers that
they start, import the copy.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
import venv
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TABLE: Final = Path(__file__).with_suffix(".toml")
PACKAGES: Final = ("cli", "console", "core", "doctor", "migrations", "plugins", "soap")
TEST_SECONDS: Final = 300
MOST_SECONDS: Final = 1500.0
"""For one test, and for the tests of one row: without its control a server may hang, and that is a failure too."""

_REMOVED_VARIABLES: Final = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


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


def run(*arguments: str) -> int:
    """Run the campaign, print each row and the totals; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m campaigns controls")
    parser.add_argument("threat", nargs="*", help="T-A1, T-D1, T-O4 ...")
    rows = table(parser.parse_args(arguments).threat)
    print(f"{len(rows)} controls against {', '.join(dict.fromkeys(row.threat for row in rows))}")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="controls-") as home:
        totals = campaign(Copy(Path(home).resolve()), rows, print)
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


def campaign(copy: Copy, rows: Sequence[Control], report: Callable[[str], object]) -> Totals:
    """Check each row; raise `NotThere` for an outdated row, `RuntimeError` if a test fails with all controls."""
    for row in rows:
        row.removed_from((copy.root / row.file).read_text())
    tests = tuple(dict.fromkeys(test for row in rows for test in row.tests))
    unfit = other_than(PASSED, tests, copy.outcomes(tests))
    if unfit:
        raise RuntimeError(f"{copy.output()}\nalthough all controls are present: {'; '.join(unfit)}")
    totals = Totals()
    for row in rows:
        with copy.without(row):
            missed = other_than(FAILED, row.tests, copy.outcomes(row.tests))
        totals.survived += [f"{row.threat}, {row.what}: {one}" for one in missed]
        totals.noticed += not missed
        report(f"{row.threat:4} {'SURVIVED' if missed else 'noticed '} {row.what}")
    return totals


def other_than(expected: str, tests: Sequence[str], outcomes: Mapping[str, str]) -> list[str]:
    """Return a sentence for each test with another outcome."""
    return [f"{test} {outcomes.get(test, 'did not run')}" for test in tests if outcomes.get(test) != expected]


PASSED, FAILED, UNFIT = "passed", "failed", "could not be run"


class Copy:
    """A copy of the tree, uncommitted files included, in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        made = (line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines())
        shutil.copytree(ROOT, root, symlinks=True, ignore=shutil.ignore_patterns(".git", *made), dirs_exist_ok=True)
        self._python = _environment(root)
        self._output = root / "output.txt"

    @contextlib.contextmanager
    def without(self, control: Control) -> Iterator[None]:
        """Leave a control out while the body runs."""
        file = self.root / control.file
        whole = file.read_text()
        try:
            _write(file, control.removed_from(whole))
            yield
        finally:
            _write(file, whole)

    def outcomes(self, tests: Sequence[str]) -> dict[str, str]:
        """Run tests in one process, and return the outcome of each; the worst one of a test with parameters."""
        report = self.root / "outcomes.xml"
        report.unlink(missing_ok=True)
        options = ["-q", "-p", "no:cacheprovider", f"--timeout={TEST_SECONDS}", f"--junitxml={report}"]
        command = [str(self._python), "-m", "pytest", *options, *tests]
        with self._output.open("w") as output:
            _finish(subprocess.Popen(command, cwd=self.root, env=_variables(), stdout=output, stderr=output))
        found: dict[str, str] = {}
        for case in ET.parse(report).iter("testcase") if report.exists() else ():
            name = _name(case)
            found[name] = max(found.get(name, PASSED), _outcome(case), key=(PASSED, UNFIT, FAILED).index)
        return found

    def output(self) -> str:
        """Return the end of the output of the last tests."""
        return self._output.read_text(errors="replace")[-4000:]


def _name(case: ET.Element) -> str:
    return f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '').partition('[')[0]}"


def _outcome(case: ET.Element) -> str:
    """Return the outcome of one test; an error in its setup, or a skip, is no failure."""
    if case.find("failure") is not None:
        return FAILED
    return PASSED if case.find("error") is None and case.find("skipped") is None else UNFIT


def _environment(root: Path) -> Path:
    """Create an environment in which `postscan` is this copy; all other packages are those installed here."""
    links = root / ".types" / "postscan"
    links.mkdir(parents=True)
    for package in PACKAGES:
        (links / package).symlink_to(root / package)
    home = root / ".venv"
    venv.EnvBuilder(symlinks=True).create(home)
    installed = sysconfig.get_path("purelib")
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "copy.pth").write_text(f"{links.parent}\nimport site; site.addsitedir({installed!r})\n")
    return home / "bin" / "python"


def _variables() -> dict[str, str]:
    """Return the environment variables of the tests, without those that refer to the original tree."""
    return {name: value for name, value in os.environ.items() if name not in _REMOVED_VARIABLES}


def _write(file: Path, text: str) -> None:
    """Write a module, and remove its compiled form: Python does not notice two changes within a second."""
    file.write_text(text)
    Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)


def _finish(tests: subprocess.Popen[bytes]) -> None:
    """Wait for the tests; on a timeout or an interrupt, let them end their servers."""
    try:
        tests.wait(MOST_SECONDS)
    except subprocess.TimeoutExpired:
        _interrupt(tests)
    except BaseException:
        _interrupt(tests)
        raise


def _interrupt(tests: subprocess.Popen[bytes]) -> None:
    tests.send_signal(signal.SIGINT)
    try:
        tests.wait(60)
    except subprocess.TimeoutExpired:
        tests.kill()
        tests.wait()
