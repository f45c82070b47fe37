"""The commands of the simulated panel on a terminal: one a line, one row of a table each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from postscan.cli.device.wsscan.panel import PanelError, page_count, shown_destinations
from postscan.cli.device.wsscan.scanner import WsdScanner

PanelLog = Callable[[str], None]


class PanelCommand(NamedTuple):
    """A command: what follows its name, its text for help, and its function."""

    argument: str
    text: str
    run: Callable[[str], None]


class PanelCommands:
    """Runs lines of commands at the panel of a scanner. `quit` sets *stop*."""

    def __init__(self, scanner: WsdScanner, log: PanelLog, stop: threading.Event) -> None:
        self._scanner = scanner
        self._log = log
        self.table = {
            "press": PanelCommand("NUMBER|LABEL", "choose a destination and scan", self._press),
            "cancel": PanelCommand("", "stop the scan", lambda _: self._cancel()),
            "status": PanelCommand("", "show destinations, paper and jobs", lambda _: self._status()),
            "jam": PanelCommand("", "jam the paper", lambda _: scanner.jam()),
            "clear": PanelCommand("", "take the jammed paper out", lambda _: self._done(scanner.clear())),
            "open": PanelCommand("", "open the cover", lambda _: scanner.open()),
            "close": PanelCommand("", "close the cover", lambda _: self._done(scanner.close())),
            "off": PanelCommand("", "switch off, without a word to any client", lambda _: scanner.power_off()),
            "on": PanelCommand("", "switch on", lambda _: scanner.power_on()),
            "reboot": PanelCommand("", "switch off and on: subscriptions are forgotten", lambda _: scanner.reboot()),
            "misbehave": PanelCommand("NAME[=VALUE]", "misbehave from now on", scanner.misbehaviours.add),
            "behave": PanelCommand("NAME", "stop that", scanner.misbehaviours.remove),
            "help": PanelCommand("", "show this", lambda _: self._help()),
            "quit": PanelCommand("", "stop the scanner", lambda _: stop.set()),
        }

    def run(self, line: str) -> None:
        """Run one line; what is wrong with it is shown."""
        name, _, argument = line.strip().partition(" ")
        if not name:
            return
        command = self.table.get(name)
        if command is None:
            self._log(f"{name}: unknown; help shows what there is")
            return
        try:
            command.run(argument.strip())
        except (PanelError, ValueError, OSError) as error:
            self._log(f"{name}: {error}")

    def _press(self, given: str) -> None:
        labels = self._scanner.destinations
        if given.isascii() and given.isdecimal() and given not in labels and 0 < int(given[:6]) <= len(labels):
            given = labels[int(given) - 1]
        self._scanner.press(given)

    def _cancel(self) -> None:
        self._scanner.cancel()

    def _done(self, changed: bool) -> None:
        if not changed:
            self._log("there is nothing to do")

    def _status(self) -> None:
        scanner = self._scanner
        state = ", ".join((scanner.state, *scanner.conditions)) if scanner.is_on else "off"
        self._log(f"{state}; {page_count(len(scanner.pages))}; subscriptions: {len(scanner.subscriptions)}")
        self._log(shown_destinations(scanner.destinations))
        for job in scanner.jobs[-5:]:
            self._log(f"job {job.id}: {job.state} ({job.reason}), {page_count(job.whole)} sent, {job.ticket.job_name}")

    def _help(self) -> None:
        for name, command in self.table.items():
            self._log(f"{f'{name} {command.argument}'.strip():<22} {command.text}")
