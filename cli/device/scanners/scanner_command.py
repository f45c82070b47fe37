"""`postscan device --wsscan` and `--escl`: hand the options to the simulated scanner, or list what it can do wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import typer


class ScannerArguments(NamedTuple):
    """The options of a simulated scanner; see `scanner_options`."""

    files: Sequence[Path]
    listen: str
    source: str
    pages: int
    quirks: Sequence[str]
    misbehaviours: Sequence[str]
    press: str
    announce: bool
    name: str


def serve_wsscan(given: ScannerArguments) -> int:
    """Serve a WSD scanner; return the exit code."""
    from postscan.cli.device.wsscan import command
    from postscan.cli.device.wsscan.behaviour import misbehaviours, quirks

    if "list" in given.quirks:
        _show({name: f"{row.device}: {row.text}" for name, row in quirks.QUIRKS.items()})
    if "list" in given.misbehaviours:
        _show({_usage(name, row.kind): row.text for name, row in misbehaviours.MISBEHAVIOURS.items()})
    if "list" in (*given.quirks, *given.misbehaviours):
        return 0
    return command.serve(**given._asdict())


def serve_escl(given: ScannerArguments, *, https: bool, hp: str, pause: float) -> int:
    """Serve an eSCL scanner; return the exit code."""
    from postscan.cli.device.escl import command
    from postscan.cli.device.escl.behaviour import misbehaviours, quirks

    if "list" in given.quirks:
        _show({name: f"{row.model}: {row.title}" for name, row in quirks.QUIRKS.items()})
    if "list" in given.misbehaviours:
        plain = {name: title for name, (title, _changes) in misbehaviours.MISBEHAVIOURS.items()}
        _show({**plain, **misbehaviours.PARAMETERS})
    if "list" in (*given.quirks, *given.misbehaviours):
        return 0
    return command.serve(**given._asdict(), https=https, hp=hp, pause=pause)


def _usage(name: str, kind: str) -> str:
    return f"{name}[={kind}]" if kind else name


def _show(names: Mapping[str, str]) -> None:
    width = max(map(len, names))
    for name, text in names.items():
        typer.echo(f"{name:<{width}}  {text}")
