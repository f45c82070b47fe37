"""A copy of the tree with an environment of its own, whose tests import the copy, and so do the servers they start."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sysconfig
import venv
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("cli", "console", "core", "doctor", "migrations", "plugins", "soap")
TEST_SECONDS: Final = 300
MOST_SECONDS: Final = 1500.0
"""For one test, and for the tests of one call: with changed code a server may hang, and that is a failure too."""

PASSED, FAILED, UNFIT = "passed", "failed", "could not be run"

_REMOVED_VARIABLES: Final = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


class Copy:
    """A copy of the tree, uncommitted files included, in a folder of its own; one thread at a time uses it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        made = (line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines())
        shutil.copytree(ROOT, root, symlinks=True, ignore=shutil.ignore_patterns(".git", *made), dirs_exist_ok=True)
        self._python = _environment(root)
        self._output = root / "output.txt"
        self._tests: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def changed(self, name: str, text: str) -> Iterator[None]:
        """Let a file of the copy have this text while the body runs."""
        file = self.root / name
        whole = file.read_text()
        try:
            _write(file, text)
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
            self._tests = subprocess.Popen(command, cwd=self.root, env=_variables(), stdout=output, stderr=output)
            try:
                self._tests.wait(MOST_SECONDS)
            except BaseException as error:
                self.interrupt()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
        found: dict[str, str] = {}
        for case in ET.parse(report).iter("testcase") if report.exists() else ():
            name = _name(case)
            found[name] = max(found.get(name, PASSED), _outcome(case), key=(PASSED, UNFIT, FAILED).index)
        return found

    def interrupt(self) -> None:
        """End the tests that run, from any thread; they end their servers."""
        if self._tests is None:
            return
        self._tests.send_signal(signal.SIGINT)
        try:
            self._tests.wait(60)
        except subprocess.TimeoutExpired:
            self._tests.kill()
            self._tests.wait()

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
