"""`postscan plugin check`: put a plugin to the test, as its author should have done."""

from __future__ import annotations

import contextlib
import dataclasses
import json as encoder
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from postscan.cli.context import load_settings, open_engine
from postscan.cli.output import terminal, views
from postscan.cli.plugin import test_page
from postscan.core.errors import PluginError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from postscan.core.registry.catalogue import Plugin
    from postscan.core.settings import Settings

DEFECTS: Final = 1
UNTRIED: Final = 2

Report = dict[str, Any]
"""What came out for one filter: its `dialect`, and the fields of an `Examination`."""


def check(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Plugin, as `postscan plugin list` names it.")],
    page: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Image that the filters get; may be repeated. Without: two."),
    ] = None,
    instructions: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="XML that a scan process has for the filter. Without: empty."),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Settings file (TOML) whose table [filters.NAME] counts."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Look for defects of a plugin: run its filters, and cancel them everywhere.

    Found are: an import error, a wrong API version, a `run` without token, a filter that never checks its token,
    swallows the cancel, publishes after it, writes outside its workdir, leaves temporary files or processes behind,
    is not harmless when run twice, has no valid instruction schema, gives a secret away, or changes global state.

    The runs are real. What a filter delivers is delivered, once for each look at its token and at most a hundred
    times: name a folder, or a server, that is there for it.

    \b
    Exit codes:
      0  no defects were found
      1  there are defects, one a line
      2  the filter could not be tried with these instructions and settings

    \b
    Examples:
      postscan plugin check acme --settings try/postscan.toml
      postscan plugin check acme --page letter.png --instructions acme.xml --json
    """
    chosen = _settings(context, name, settings)
    plugin = _plugin(chosen, name)
    with _pages(page) as pages:
        reports = _reports(
            plugin, pages, instructions.read_bytes() if instructions else b"", chosen.filters.get(name, {})
        )
    if json:
        typer.echo(views.as_json(reports))
    else:
        for line in _lines(reports):
            typer.echo(terminal.plain(line))
    if code := _exit_code(reports):
        raise typer.Exit(code)


def _settings(context: typer.Context, name: str, path: Path | None) -> Settings:
    """Return the settings of this command, with the table of one plugin out of another file if one is given."""
    from postscan.core.settings import load

    settings = load_settings(context)
    if path is None:
        return settings
    table = load(path).filters.get(name)
    if table is None:
        raise typer.BadParameter(f"{path} has no table [filters.{name}]", param_hint="--settings")
    return settings.model_copy(update={"filters": {**settings.filters, name: table}})


def _plugin(settings: Settings, name: str) -> Plugin:
    with open_engine(settings) as core:
        plugins = {plugin.name: plugin for plugin in core.catalogue().plugins}
    if name not in plugins:
        installed = ", ".join(plugins) or "none"
        raise typer.BadParameter(f"no plugin {name!r} is installed; installed are: {installed}", param_hint="NAME")
    return plugins[name]


def _reports(plugin: Plugin, pages: Sequence[Path], instructions: bytes, table: Mapping[str, Any]) -> list[Report]:
    """Examine the plugin if it can be loaded at all."""
    from postscan.core.registry.catalogue import PluginState
    from postscan.plugins.testing import contract, defects

    if plugin.state is PluginState.DISABLED:
        return [_report("", contract.ContractReport(untried=f"it is disabled; postscan plugin enable {plugin.name}"))]
    if plugin.reason.startswith(f"[filters.{plugin.name}]"):
        return [_report("", contract.ContractReport(untried=plugin.reason))]
    if plugin.state is PluginState.QUARANTINED:
        return [_report("", contract.ContractReport((defects.refused(plugin.reason),)))]
    return _elsewhere(plugin.name, pages, instructions, table)


def _elsewhere(name: str, pages: Sequence[Path], instructions: bytes, table: Mapping[str, Any]) -> list[Report]:
    """Examine the plugin in a child: no code of a plugin runs in this process."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    child = fork.Process(target=_examine, args=(there, name, pages, instructions, table))
    child.start()
    there.close()
    try:
        reports: list[Report] = encoder.loads(here.recv_bytes())
    except EOFError:
        raise PluginError(f"{name}: the process that examined it died") from None
    finally:
        here.close()
        child.join()
    return reports


def _examine(pipe: Connection, name: str, pages: Sequence[Path], instructions: bytes, table: Mapping[str, Any]) -> None:
    """Be the child. What the plugin prints goes to stderr."""
    from postscan.core.filters import loader
    from postscan.core.workers import orphans
    from postscan.plugins.testing import contract

    orphans.die_with(os.getppid())
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    found = [
        _report(one.dialect, contract.examine(one, pages, instructions=instructions, settings=table))
        for one in loader.load(name)
    ]
    pipe.send_bytes(encoder.dumps(found).encode())


def _report(dialect: str, found: Any) -> Report:
    return {"dialect": dialect, **dataclasses.asdict(found)}


def _lines(reports: Iterable[Report]) -> Iterator[str]:
    for one in reports:
        about = f"{one['dialect']}: " if one["dialect"] else ""
        for defect in one["defects"]:
            yield f"{about}{defect['kind']}: {defect['sentence']}"
        if one["untried"]:
            yield f"{about}could not be tried: {one['untried']}"
        elif not one["defects"]:
            yield f"{about}no defects found ({one['runs']} runs, cancelled at {_looks(one)})"


def _looks(one: Report) -> str:
    return f"{'each' if one['cancels'] == one['looks'] else one['cancels']} of {one['looks']} looks"


def _exit_code(reports: Iterable[Report]) -> int:
    if any(one["defects"] for one in reports):
        return DEFECTS
    return UNTRIED if any(one["untried"] for one in reports) else 0


@contextlib.contextmanager
def _pages(given: Sequence[Path] | None) -> Iterator[Sequence[Path]]:
    """Lend the pages that were named; two plain ones if there are none."""
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="postscan-") as folder:
        made = [Path(folder) / f"page{number}.png" for number in (1, 2)]
        for number, path in enumerate(made, start=1):
            path.write_bytes(test_page.png(number))
        yield made
