"""The panel of the simulated eSCL scanner, as commands of one line each."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Final

from postscan.cli.device.escl.scanner import SimulatedEsclScanner
from postscan.core.errors import PostscanError

HELP: Final = (
    ("press NAME [SHORTCUT]", "choose a registered name and start (--hp)"),
    ("select NAME", "choose a registered name, without a start (--hp)"),
    ("start [SHORTCUT]", "start what was selected (--hp)"),
    ("next-page", "put the next page on the platen, for the same document (--hp)"),
    ("done", "there is no other page (--hp)"),
    ("names", "show the registered names (--hp)"),
    ("cancel", "press Cancel"),
    ("jam", "jam the paper"),
    ("door", "open the door of the feeder"),
    ("clear", "take out jammed paper, and close the door"),
    ("load", "put the pages into the feeder again"),
    ("empty", "take the paper out of the feeder"),
    ("status", "show state, feeder and jobs"),
    ("reboot", "restart the device"),
    ("quit", "stop it"),
)


class EsclPanel:
    """Carries out commands; `quit` is the caller's."""

    def __init__(self, scanner: SimulatedEsclScanner) -> None:
        self._scanner = scanner
        self._commands: dict[str, Callable[[list[str]], str]] = {
            "press": self._press,
            "select": self._select,
            "start": self._start,
            "next-page": lambda _words: f"event {scanner.next_page()}",
            "done": lambda _words: f"event {scanner.done()}",
            "names": self._names,
            "cancel": lambda _words: "cancelled" if scanner.cancel() else "no job",
            "jam": lambda _words: "jammed, job aborted" if scanner.jam() else "jammed",
            "door": lambda _words: "open, job aborted" if scanner.open_door() else "open",
            "clear": self._clear,
            "load": self._load,
            "empty": self._empty,
            "status": self._status,
            "reboot": self._reboot,
            "help": lambda _words: "\n".join(f"{command:24}{title}" for command, title in HELP),
        }

    def run(self, line: str) -> str:
        """Carry out one command; return what the panel shows, also for a command that it does not know."""
        try:
            words = shlex.split(line)
            if not words:
                return ""
            if words[0] not in self._commands:
                return f"unknown command {words[0]!r}; help shows all"
            return self._commands[words[0]](words[1:])
        except (PostscanError, ValueError) as error:  # ValueError: an open quotation mark
            return str(error)

    def _press(self, words: list[str]) -> str:
        name, shortcut = _two(words, "press NAME [SHORTCUT]", "SavePDF")
        return f"event {self._scanner.press(name, shortcut=shortcut)}"

    def _select(self, words: list[str]) -> str:
        name, _ = _two(words, "select NAME", "")
        return f"event {self._scanner.press(name, start=False)}"

    def _start(self, words: list[str]) -> str:
        self._walkup_choose(words[0] if words else "SavePDF")
        return "started"

    def _walkup_choose(self, shortcut: str) -> None:
        if self._scanner.walkup is None:
            raise PostscanError("this scanner has no walk-up")
        self._scanner.walkup.choose(shortcut)

    def _names(self, _words: list[str]) -> str:
        walkup = self._scanner.walkup
        return "\n".join(one.name for one in walkup.destinations) if walkup is not None else ""

    def _clear(self, _words: list[str]) -> str:
        self._scanner.clear()
        return "cleared"

    def _load(self, _words: list[str]) -> str:
        self._scanner.load()
        return "loaded"

    def _empty(self, _words: list[str]) -> str:
        self._scanner.machine.empty()
        return "empty"

    def _reboot(self, _words: list[str]) -> str:
        self._scanner.reboot()
        return "restarted"

    def _status(self, _words: list[str]) -> str:
        state, feeder = self._scanner.machine.peek()
        jobs = [f"job {job.name}: {job.state} {job.reason}, {job.images} images" for job in self._scanner.jobs]
        return "\n".join([f"{state} {feeder}".strip(), *jobs])


def _two(words: list[str], usage: str, default: str) -> tuple[str, str]:
    if not words or len(words) > 2:
        raise PostscanError(f"expected: {usage}")
    return words[0], words[1] if len(words) == 2 else default
