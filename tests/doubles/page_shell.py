"""A shell in which a reader follows a page: its files are written and its commands run, from top to bottom.

A block of a file follows a line that ends with "as `NAME`:", or with "to `NAME`:" if it is appended. In a `console`
block commands stand after `$ `, and below each what it prints: a selection of lines, whose ends `...` may stand for.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from documents import page
from works import PATIENCE

LOOKS: Final = ("ls ", "postscan sources list", "postscan jobs list", "postscan destinations list")
"""Commands that only look: a reader repeats them until they print what the page shows."""

LONGEST: Final = 900.0
"""Seconds for one command; the longest downloads packages."""

LATEST: Final = 3 * PATIENCE
"""Seconds until a command prints what the page shows."""

_BLOCK: Final = re.compile(r"^(?P<before>[^\n]*)\n\n```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE: Final = re.compile(r"\b(?P<how>as|to) `(?P<name>[^`]+)`:$")


@dataclass(frozen=True)
class ShownCommand:
    """A command of a page, how it ended, what it printed, and which lines of the page it did not print."""

    command: str
    code: int
    output: str
    missing: tuple[str, ...]


class PageShell:
    """One bash, in one folder. *replaced* are texts of pages and what stands for them here, such as ports.

    *added* are lines that a file gets beyond those of the page, by its name.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        replaced: Mapping[str, str],
        added: Mapping[str, str] | None = None,
    ) -> None:
        self._replaced = replaced
        self._added = dict(added or {})
        self._lines: list[str] = []
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def follow(self, name: str) -> Iterator[ShownCommand]:
        """Follow a page; yield each command when it has ended, or has printed what the page shows if it goes on."""
        for kind, before, text in self._blocks(page(name)):
            if kind == "console":
                for command, shown in _commands(text):
                    yield self._carry_out(command, shown)
            elif kind != "text":
                self._write(before, text)

    def run(self, command: str) -> str:
        """Run a command that is not on a page, and must succeed; return what it printed."""
        output, code, _ = self._run(command)
        assert code == 0, f"{command}: {output}"
        return output

    def close(self) -> None:
        """End the shell and what it has started."""
        assert self._bash.stdin
        with contextlib.suppress(BrokenPipeError):
            self._bash.stdin.write("kill $(jobs -p) 2>/dev/null; wait; exit\n")
            self._bash.stdin.close()
        try:
            self._bash.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._bash.pid, signal.SIGKILL)
            self._bash.wait()
        self._reader.join(PATIENCE)
        assert self._bash.stdout
        self._bash.stdout.close()

    def _blocks(self, text: str) -> Iterator[tuple[str, str, str]]:
        blocks = list(_BLOCK.finditer(text))
        assert len(blocks) == len(re.findall(r"^```\w+$", text, re.MULTILINE)), "a block does not follow a line of text"
        for block in blocks:
            yield block["kind"], self._here(block["before"]), self._here(block["text"])

    def _here(self, text: str) -> str:
        return re.sub("|".join(map(re.escape, self._replaced)), lambda found: self._replaced[found[0]], text)

    def _write(self, before: str, text: str) -> None:
        found = _FILE.search(before)
        assert found, f"the page does not say which file this is: {before!r}"
        with (Path(self.run("pwd")) / found["name"]).open("a" if found["how"] == "to" else "w") as file:
            file.write(text + self._added.pop(found["name"], ""))

    def _carry_out(self, command: str, shown: tuple[str, ...]) -> ShownCommand:
        end = time.monotonic() + LATEST
        while True:
            output, code, begin = self._run(command)
            missing = _missing(shown, output)
            while missing and command.endswith("&") and time.monotonic() < end:
                time.sleep(0.1)
                output = "\n".join(self._lines[begin:])
                missing = _missing(shown, output)
            if not missing or not command.startswith(LOOKS) or time.monotonic() > end:
                return ShownCommand(command, code, output, missing)
            time.sleep(0.2)

    def _run(self, command: str) -> tuple[str, int, int]:
        """Run a command; return what it printed, its exit code, and the number of its first line."""
        assert self._bash.stdin
        begin, mark = len(self._lines), f"ended-{secrets.token_hex(8)}"
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n%s %d\\n' {mark} $?\n")
        self._bash.stdin.flush()
        end = time.monotonic() + LONGEST
        while True:
            for number, line in enumerate(self._lines[begin:], begin):
                if line.startswith(mark):
                    return "\n".join(self._lines[begin:number]).strip("\n"), int(line.split()[1]), begin
            assert self._bash.poll() is None, f"{command} has ended the shell: {self._lines[begin:]}"
            assert time.monotonic() < end, f"{command} does not end: {self._lines[begin:]}"
            time.sleep(0.02)

    def _read(self) -> None:
        assert self._bash.stdout
        for line in self._bash.stdout:
            self._lines.append(line.rstrip("\n"))


def _commands(block: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each command of a block, with the lines that the page shows below it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        last = next(number for number, line in enumerate(lines) if not line.endswith("\\"))
        yield "\n".join(lines[: last + 1]), tuple(lines[last + 1 :])


def _missing(shown: tuple[str, ...], output: str) -> tuple[str, ...]:
    """Return the shown lines that were not printed; numbers may be others, and columns wider."""
    printed = [_folded(line) for line in output.splitlines()]
    return tuple(line for line in shown if not any(_is_as_shown(one, _folded(line)) for one in printed))


def _is_as_shown(line: str, shown: str) -> bool:
    beginning = shown.removesuffix("...")
    return line == shown or (beginning != shown and line.startswith(beginning))


def _folded(line: str) -> str:
    return re.sub(r"\d+", "0", " ".join(line.split()))
