"""The commands of `postscan` by their names, each imported and built when it is asked for.

To build all of them takes a third of the time that `postscan cancel` needs: Typer reads the signature of each function.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from typing import Any, Final

import typer
import typer.main

COMMANDS: Final = {
    "serve": "postscan.cli.commands.serve:serve",
    "worker": "postscan.cli.commands.serve:worker",
    "reload": "postscan.cli.commands.serve:reload",
    "demo": "postscan.cli.demo.command:demo",
    "send": "postscan.cli.device.send:send",
    "device": "postscan.cli.device.command:device",
    "jobs": "postscan.cli.commands.jobs:app",
    "cancel": "postscan.cli.commands.cancel:cancel",
    "process": "postscan.cli.commands.process.command:app",
    "sources": "postscan.cli.commands.sources.inlets:app",
    "destinations": "postscan.cli.commands.sources.destinations:app",
    "accounts": "postscan.cli.commands.accounts:app",
    "console": "postscan.cli.commands.console.command:app",
    "audit": "postscan.cli.commands.audit:app",
    "subscriptions": "postscan.cli.commands.subscriptions:app",
    "plugin": "postscan.cli.plugin.commands:app",
    "directory": "postscan.cli.plugin.directory:app",
    "naming": "postscan.cli.commands.naming:app",
    "spool": "postscan.cli.commands.storage.spool:app",
    "init": "postscan.cli.systemd.command:init",
    "migrate": "postscan.cli.commands.storage.migrate:migrate",
    "backup": "postscan.cli.commands.storage.backup:backup",
    "restore": "postscan.cli.commands.storage.backup:restore",
    "doctor": "postscan.cli.commands.doctor:doctor",
}
"""Module and name of each command, a function or a `typer.Typer` with commands of its own, in the order of the help."""


class CommandTable(MutableMapping[str, Any]):
    """The built commands by their names, in the order of `COMMANDS`; further ones can be added."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = dict.fromkeys(COMMANDS)

    def __getitem__(self, name: str) -> Any:
        if self._built[name] is None:
            self._built[name] = _build(name)
        return self._built[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._built[name] = command

    def __delitem__(self, name: str) -> None:
        del self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._built)

    def __len__(self) -> int:
        return len(self._built)


def _build(name: str) -> Any:
    """Return one command of `COMMANDS`, as Typer builds it for a group that has no other."""
    module, _, attribute = COMMANDS[name].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    group = typer.Typer(add_completion=False, rich_markup_mode=None, callback=lambda: None)
    if isinstance(found, typer.Typer):
        group.add_typer(found, name=name)
    else:
        group.command(name)(found)
    return typer.main.get_group(group).commands[name]
