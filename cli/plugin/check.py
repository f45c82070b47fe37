"""`postscan plugin check`: run the contract tests on the filters or the source of an installed plugin."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from postscan.cli.context import load_settings, open_engine
from postscan.cli.output import terminal, views
from postscan.cli.plugin import check_source, in_child
from postscan.core.model.formats import test_page

if TYPE_CHECKING:
    from postscan.core.registry.catalogue import Plugin
    from postscan.core.settings import Settings

DEFECTS: Final = 1
NOT_TESTABLE: Final = 2

Report = dict[str, Any]
"""The result for one filter: its `dialect`, and the fields of a `ContractReport`; or for one inlet of a source."""


def check(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Plugin, as `postscan plugin list` names it.")],
    page: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Image for the filters; may be repeated. Default: two."),
    ] = None,
    instructions: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Instructions of the filter as XML. Default: empty."),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Settings file (TOML) with the plugin's tables."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run and cancel a plugin, and report the defects of its filters or its source.

    Finds: an import error, a wrong API version, a `run` without token, a filter that never checks its token,
    swallows the cancel, publishes after it, writes outside its workdir, leaves temporary files or processes behind,
    delivers twice when run twice, has no valid instruction schema, reveals a secret, or changes global state.

    The runs are real: a filter delivers once for each check of its token, at most a hundred times. Use a folder or a
    server for tests.

    A source is run with the settings of each of its inlets, beside a server that has no room for a job, so it takes
    nothing. Finds: an import error, a wrong API version, a `run` without token, a source that ends by itself, does not
    stop in time, or reveals a secret. Its author's tests find more, with an origin: assert_source_contract. Of a plugin
    of hooks only that it loads is tested here.

    \b
    Exit codes:
      0  no defects were found
      1  there are defects, one a line
      2  the filter or source could not be tested with these instructions and settings

    \b
    Examples:
      postscan plugin check acme --settings try/postscan.toml
      postscan plugin check acme --page letter.png --instructions acme.xml --json
    """
    chosen = _settings(context, name, settings)
    reports: list[Report] = []
    for plugin in _plugins(chosen, name):
        if plugin.kind == "source":
            reports += check_source.reports(plugin, chosen.sources)
            continue
        with _pages(page) as pages:
            asked = instructions.read_bytes() if instructions else b""
            reports += _reports(plugin, pages, asked, chosen.filters.get(name, {}))
    if json:
        typer.echo(views.as_json(reports))
    else:
        for line in _lines(reports):
            typer.echo(terminal.plain(line))
    if code := _exit_code(reports):
        raise typer.Exit(code)


def _settings(context: typer.Context, name: str, path: Path | None) -> Settings:
    """Return the settings of this command, with the table of the plugin from another file if *path* is given."""
    from postscan.core.settings import load

    settings = load_settings(context)
    if path is None:
        return settings
    own = load(path)
    inlets = {inlet: one for inlet, one in own.sources.items() if one.plugin == name}
    if name not in own.filters and not inlets:
        raise typer.BadParameter(f"{path} has no table [filters.{name}]", param_hint="--settings")
    filters = settings.filters | {key: table for key, table in own.filters.items() if key == name}
    return settings.model_copy(update={"filters": filters, "sources": inlets or settings.sources})


def _plugins(settings: Settings, name: str) -> list[Plugin]:
    with open_engine(settings) as engine:
        installed = engine.catalogue().plugins
    plugins = [plugin for plugin in installed if plugin.name == name]
    if not plugins:
        names = ", ".join(dict.fromkeys(plugin.name for plugin in installed)) or "none"
        raise typer.BadParameter(f"no plugin {name!r} is installed; installed are: {names}", param_hint="NAME")
    return plugins


def _reports(plugin: Plugin, pages: Sequence[Path], instructions: bytes, table: Mapping[str, Any]) -> list[Report]:
    """Examine the plugin if it can be loaded."""
    from postscan.core.registry.catalogue import PluginState
    from postscan.plugins.testing import contract, defects

    if plugin.state is PluginState.DISABLED:
        return [_report("", contract.ContractReport(untried=f"it is disabled; postscan plugin enable {plugin.name}"))]
    if plugin.reason.startswith(f"[filters.{plugin.name}]"):
        return [_report("", contract.ContractReport(untried=plugin.reason))]
    if plugin.state is PluginState.QUARANTINED:
        return [_report("", contract.ContractReport((defects.refused(plugin.reason),)))]
    if plugin.kind == "hooks":
        return [_report("", contract.ContractReport(untried="hooks need a directory; use assert_hooks_contract"))]
    return _examine_in_child(plugin.name, pages, instructions, table)


def _examine_in_child(name: str, pages: Sequence[Path], instructions: bytes, table: Mapping[str, Any]) -> list[Report]:
    def examine() -> list[Report]:
        from postscan.core.filters import loader
        from postscan.plugins.testing import contract

        return [
            _report(one.dialect, contract.examine(one, pages, instructions=instructions, settings=table))
            for one in loader.load(name)
        ]

    return in_child.call(name, examine)


def _report(dialect: str, found: Any) -> Report:
    return {"dialect": dialect, **dataclasses.asdict(found)}


def _lines(reports: Iterable[Report]) -> Iterator[str]:
    for one in reports:
        about = f"{one.get('dialect') or one.get('inlet')}: " if one.get("dialect") or one.get("inlet") else ""
        for defect in one["defects"]:
            yield f"{about}{defect['kind']}: {defect['sentence']}"
        if one["untried"]:
            yield f"{about}could not be tested: {one['untried']}"
        elif not one["defects"] and "processes" in one:
            yield f"{about}no defects found ({one['processes']} processes; nothing was taken)"
        elif not one["defects"]:
            yield f"{about}no defects found ({one['runs']} runs, cancelled at {_cancels(one)})"


def _cancels(one: Report) -> str:
    return f"{'each' if one['cancels'] == one['looks'] else one['cancels']} of {one['looks']} token checks"


def _exit_code(reports: Iterable[Report]) -> int:
    if any(one["defects"] for one in reports):
        return DEFECTS
    return NOT_TESTABLE if any(one["untried"] for one in reports) else 0


@contextlib.contextmanager
def _pages(given: Sequence[Path] | None) -> Iterator[Sequence[Path]]:
    """Yield the given pages, or two generated ones."""
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="postscan-") as folder:
        pages = [Path(folder) / f"page{number}.png" for number in (1, 2)]
        for number, path in enumerate(pages, start=1):
            path.write_bytes(test_page.png(number))
        yield pages
