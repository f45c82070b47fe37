"""A new author: `postscan plugin new` in an environment of their own, and then everything that its README says."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from elsewhere import Elsewhere
from free_ports import free_port

NAME = "acme-letter"
PAGE = b"\x89PNG\r\n\x1a\n" + b"a page that nobody looks at" * 100


@dataclass(frozen=True)
class Step:
    """One command of the README: how it ended, what it said and had promised, and what lay in `try/out` then."""

    command: str
    code: int = 0
    output: str = ""
    files: tuple[Path, ...] = ()
    promised: tuple[str, ...] = ()

    @property
    def untrue(self) -> list[str]:
        """The promised lines that no line of the output ends with, whatever the width of the columns."""
        said = [_with_single_blanks(line) for line in self.output.splitlines()]
        promised = [_with_single_blanks(line) for line in self.promised]
        return [line for line in promised if not any(one.endswith(line) for one in said)]


class Author:
    """Somebody with an empty folder and an environment in which postscan is installed, from a wheel."""

    def __init__(self, elsewhere: Elsewhere) -> None:
        self.package = elsewhere.home / NAME
        self._elsewhere = elsewhere
        self._environment = self._elsewhere.variables

    def prepare(self, *options: str) -> None:
        """Install postscan, as it is in this checkout, and begin a package."""
        self._elsewhere.install()
        self._elsewhere.do("postscan", "plugin", "new", NAME, *options)
        (self.package / "page.png").write_bytes(PAGE)
        with (self.package / "try" / "postscan.toml").open("a") as settings:
            settings.write(f"\n[server]\nport = {free_port()}  # the usual one may be taken here\n")

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


def step(steps: list[Step], beginning: str, *, last: bool = False) -> Step:
    """Return the first or the last step whose command begins so."""
    return [one for one in steps if one.command.startswith(beginning)][-1 if last else 0]


def listed(steps: list[Step]) -> str:
    """Return the line of the new package in the list of plugins, with single blanks between its columns."""
    (row,) = (line for line in step(steps, "postscan plugin list").output.splitlines() if line.startswith(NAME))
    return _with_single_blanks(row)


def _with_single_blanks(line: str) -> str:
    return " ".join(line.split())
