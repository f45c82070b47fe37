"""A new author: `postscan plugin new` in an environment of their own, and then everything that its README says."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from elsewhere import Elsewhere

NAME = "acme-letter"
PAGE = b"\x89PNG\r\n\x1a\n" + b"a page that nobody looks at" * 100

pytestmark = pytest.mark.timeout(1500)


@dataclass(frozen=True)
class Step:
    """One command of the README: how it ended, what it said and had promised, and what lay in `try/out` then."""

    command: str
    code: int = 0
    output: str = ""
    files: tuple[Path, ...] = ()
    promised: tuple[str, ...] = ()


class Author:
    """Somebody with an empty folder and an environment in which postscan is installed, from a wheel."""

    def __init__(self, elsewhere: Elsewhere) -> None:
        self.package = elsewhere.home / NAME
        self._elsewhere = elsewhere
        self._environment = self._elsewhere.variables

    def prepare(self) -> None:
        """Install postscan, as it is in this checkout, and begin a package."""
        self._elsewhere.install()
        self._elsewhere.do("postscan", "plugin", "new", NAME)
        (self.package / "page.png").write_bytes(PAGE)
        with (self.package / "try" / "postscan.toml").open("a") as settings:
            settings.write(f"\n[server]\nport = {_free_port()}  # the usual one may be taken here\n")

    def read(self) -> list[Step]:
        """Do what the README says, from top to bottom."""
        blocks = re.findall(
            r"^```(\w+)\n(.*?)^```$", (self.package / "README.md").read_text(), re.DOTALL | re.MULTILINE
        )
        steps: list[Step] = []
        with contextlib.ExitStack() as servers:
            for kind, text in blocks:
                if kind == "python":
                    self._insert(text)
                if kind == "text":
                    steps[-1] = replace(steps[-1], promised=tuple(text.splitlines()))
                for line in text.splitlines() if kind == "console" else ():
                    steps.append(self._step(line.removeprefix("$ "), servers))
        return steps

    def _insert(self, line: str) -> None:
        module = self.package / "src" / "acme_letter.py"
        code = module.read_text()
        assert code.count("            job.deliver(") == 1
        module.write_text(code.replace("            job.deliver(", f"{line}            job.deliver("))

    def _step(self, command: str, servers: contextlib.ExitStack) -> Step:
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self._environment[name] = value
            return Step(command)
        if command.endswith(" &"):
            return Step(command, output=servers.enter_context(self._running(command.removesuffix(" &"))))
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.package,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        return Step(command, done.returncode, done.stdout, tuple(sorted(self.package.glob("try/out/*"))))

    @contextlib.contextmanager
    def _running(self, command: str) -> Iterator[str]:
        """Run a server while the body runs; give what it says when it is ready."""
        with (self._elsewhere.home / "server.log").open("w") as log:
            server = subprocess.Popen(
                command.split(),
                cwd=self.package,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert server.stdout
        with server.stdout:
            try:
                yield server.stdout.readline()
            finally:
                server.terminate()
                assert server.wait(60) == 0


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    """All that the README says to do, done."""
    author = Author(Elsewhere(tmp_path_factory, "author"))
    author.prepare()
    return author.read()


def step(steps: list[Step], beginning: str, *, last: bool = False) -> Step:
    """Return the first or the last step whose command begins so."""
    return [one for one in steps if one.command.startswith(beginning)][-1 if last else 0]


def test_every_command_of_the_readme_ends_as_it_says(steps: list[Step]) -> None:
    """All go well, and the cancelled job has the exit code 3."""
    cancelled = step(steps, "postscan send", last=True)

    assert cancelled.code == 3, cancelled.output
    assert [(one.command, one.output) for one in steps if one.code and one is not cancelled] == []


def test_every_output_that_the_readme_shows_is_true(steps: list[Step]) -> None:
    """Line by line, but for the times and the width of the columns."""
    shown = [(one, " ".join(line.split())) for one in steps for line in one.promised]
    wrong = [
        (line, one.output)
        for one, line in shown
        if not any(" ".join(said.split()).endswith(line) for said in one.output.splitlines())
    ]

    assert len(shown) >= 4
    assert wrong == []


def test_the_new_plugin_is_ready_when_it_is_installed(steps: list[Step]) -> None:
    """With the distribution that brings it, and nothing lacking."""
    (row,) = (line for line in step(steps, "postscan plugin list").output.splitlines() if line.startswith(NAME))

    assert " ".join(row.split()) == "acme-letter 0.1.0 acme-letter filters ready urn:example:acme-letter Acme letter"


def test_the_new_package_passes_its_own_tests(steps: list[Step]) -> None:
    """The cancel test included; none is skipped."""
    assert re.search(r"^=+ 5 passed in .*=$", step(steps, "make test").output, re.MULTILINE)


def test_its_first_job_delivers_every_page(steps: list[Step]) -> None:
    """As they were sent, with the word that the scan process chose."""
    files = step(steps, "postscan send").files

    assert [file.read_bytes() for file in files] == [PAGE] * 3
    assert all(re.fullmatch(r"Page_S-1-5-21-1-2-3-1001_\d{8}-\d{6}_00[123]-checked\.png", file.name) for file in files)


def test_its_cancelled_job_delivers_nothing(steps: list[Step]) -> None:
    """The filter was waiting before its first page, and stopped there."""
    before, after = (step(steps, command, last=True).files for command in ("postscan plugin check", "postscan send"))

    assert after == before


def test_the_check_finds_nothing_wrong_with_it(steps: list[Step]) -> None:
    """What authors begin with keeps every promise."""
    checked = step(steps, "postscan plugin check")

    assert checked.code == 0, checked.output
