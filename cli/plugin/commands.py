"""`postscan plugin`: list and explain the installed plugins; the other commands are in modules of their own."""

from __future__ import annotations

import json as encoder
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postscan.cli.context import load_settings, open_engine
from postscan.cli.output import terminal, views
from postscan.cli.plugin import check, enable, new
from postscan.core.errors import PluginError

if TYPE_CHECKING:
    from rich.table import Table

    from postscan.core.filters.parameters import Parameter, Schema
    from postscan.core.registry.catalogue import HooksInfo, Plugin, SourceInfo

app = typer.Typer(no_args_is_help=True, help="List, explain, check, enable and create plugins.")

JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_plugins(context: typer.Context, json: JSON = False) -> None:
    """List the installed plugins: their filters, sources and hooks.

    Each plugin is loaded in a process of its own. One that cannot be used is `quarantined`, with the reason;
    `postscan plugin info` has its traceback. `disabled` plugins are named in the settings, and are never imported.
    A source has `(source)` in place of a dialect, a plugin of hooks `(hooks)`. LACKS is what is needed and this machine
    does not have.

    \b
    Examples:
      postscan plugin list
      postscan plugin list --json | jq '.[] | select(.state == "quarantined")'
    """
    plugins = _installed(context)
    if json:
        typer.echo(views.as_json(_records(plugins)))
    elif plugins:
        columns = ("PLUGIN", "VERSION", "DISTRIBUTION", "STATE", "DIALECT", "TITLE", "LACKS")
        terminal.console().print(terminal.table(columns, (row for plugin in plugins for row in _plugin_rows(plugin))))
    else:
        typer.echo("no plugins are installed")


@app.command()
def info(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Plugin, as `postscan plugin list` names it.")],
    json: JSON = False,
) -> None:
    """Explain a plugin: its filters, its source, or its hooks.

    Instructions are elements of the scan process, in the namespace of the dialect. Settings are keys of the table
    `[filters.NAME]`, of an inlet `[sources.<name>]`, or of `[plugins.NAME]`; this shows the keys, never their values.
    For a `quarantined` plugin it shows the traceback. Of several plugins with this name it explains all, with --json as
    a list.

    \b
    Examples:
      postscan plugin info stamp
      postscan plugin info stamp --json | jq '.filters[].instructions'
    """
    installed = _installed(context)
    plugins = [plugin for plugin in installed if plugin.name == name]
    if not plugins:
        names = ", ".join(dict.fromkeys(plugin.name for plugin in installed))
        raise PluginError(f"no plugin {name!r} is installed; installed are: {names or 'none'}")
    if json:
        records = _records(plugins)
        typer.echo(views.as_json(records if len(records) > 1 else records[0]))
        return
    console = terminal.console()
    for plugin in plugins:
        for part in _page(plugin):
            console.print(part)


app.command()(check.check)
app.command()(enable.enable)
app.command()(enable.disable)
app.command()(new.new)


def _installed(context: typer.Context) -> tuple[Plugin, ...]:
    """Return the catalogue of plugins; each is loaded in a child process, with the settings of this command."""
    with open_engine(load_settings(context)) as engine:
        return engine.catalogue().plugins


def _records(plugins: Iterable[Plugin]) -> list[dict[str, Any]]:
    from postscan.core.service.administration.plugin_records import PluginRecord

    return [PluginRecord.of(plugin).plain() for plugin in plugins]


def _plugin_rows(plugin: Plugin) -> Iterator[tuple[str, ...]]:
    """Yield one row for each filter and one for the source, or one row for a plugin without any."""
    about = (plugin.name, plugin.version, plugin.distribution, _state(plugin))
    if plugin.source:
        yield (*about, "(source)", plugin.source.title, "; ".join(plugin.source.lacks))
    elif plugin.hooks:
        yield (*about, "(hooks)", plugin.hooks.title, "")
    elif not plugin.filters:
        yield (*about, "" if plugin.kind == "filters" else f"({plugin.kind})", "", "")
    for one in plugin.filters:
        yield (*about, one.dialect, one.title, "; ".join(one.lacks))


def _state(plugin: Plugin) -> str:
    return f"{plugin.state}: {plugin.reason}" if plugin.reason else plugin.state


def _page(plugin: Plugin) -> Iterator[str | Table]:
    """Yield the parts of a plugin's page."""
    yield from _lines(
        [("Plugin", f"{plugin.name} {plugin.version}, of {plugin.distribution}"), ("State", _state(plugin))]
    )
    yield from (terminal.plain(line) for line in plugin.traceback.splitlines())
    for one in plugin.filters:
        yield ""
        yield from _lines(
            [
                ("Filter", one.title),
                ("Dialect", one.dialect),
                *([("About", one.summary)] if one.summary else []),
                ("Grace", f"{one.grace:g} s"),
                *(("Lacks", lack) for lack in one.lacks),
            ]
        )
        yield from _instructions(one.instructions)
        yield from _settings(f"[filters.{plugin.name}]", one.settings)
    if plugin.source:
        yield from _source(plugin, plugin.source)
    if plugin.hooks:
        yield from _hooks(plugin, plugin.hooks)


def _source(plugin: Plugin, source: SourceInfo) -> Iterator[str | Table]:
    yield ""
    yield from _lines(
        [
            ("Source", source.title),
            *([("About", source.summary)] if source.summary else []),
            ("Proofs", ", ".join(source.proofs)),
            ("Grace", f"{source.grace:g} s"),
            *([("Pulls", "an administrator can ask it for a scan")] if source.pulls else []),
            *(("Lacks", lack) for lack in source.lacks),
            *(("Refuses", reason) for reason in source.refused.values()),
        ]
    )
    yield from _settings(f'an inlet with plugin = "{plugin.name}"', source.settings)


def _hooks(plugin: Plugin, hooks: HooksInfo) -> Iterator[str | Table]:
    yield ""
    yield from _lines(
        [
            ("Hooks", hooks.title),
            *([("About", hooks.summary)] if hooks.summary else []),
            *(("Has", name) for name in hooks.hooks),
            ("At once", f"{hooks.at_once} questions"),
            *([("Refuses", hooks.refused)] if hooks.refused else []),
        ]
    )
    yield from _settings(f"[plugins.{plugin.name}]", hooks.settings)


def _lines(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"{name + ':':<9} {terminal.plain(value)}" for name, value in facts)


def _instructions(schema: Schema | None) -> Iterator[str | Table]:
    if schema is None:
        yield "\nInstructions: no schema; the filter reads its XML itself"
        return
    about = f"{schema.element}: {schema.help}" if schema.help else schema.element
    yield f"\nInstructions in {terminal.plain(about)}"
    rows = (
        ("/".join(one.path), f"{one.expected}{', any number of times' if one.many else ''}", _default(one), one.help)
        for one in schema.parameters
    )
    yield terminal.table(("ELEMENT", "VALUE", "DEFAULT", "MEANING"), rows)
    if schema.judged:
        yield "The filter checks them further by itself."


def _settings(section: str, settings: tuple[Parameter, ...]) -> Iterator[str | Table]:
    where = terminal.plain(section)
    if not settings:
        yield f"\nSettings in {where}: none are declared"
        return
    yield f"\nSettings in {where}"
    rows = ((key.name, _kind(key), _default(key), key.help) for key in settings)
    yield terminal.table(("KEY", "VALUE", "DEFAULT", "MEANING"), rows)


def _kind(key: Parameter) -> str:
    """Return the type of a setting as text."""
    kind = key.expected if key.choices else key.kind
    return f"{'list of ' if key.many else ''}{kind}{', secret' if key.secret else ''}"


def _default(one: Parameter) -> str:
    """Return a default as it would be written; blank for none and for secrets."""
    if one.required:
        return "(required)"
    return "" if one.secret or one.default is None else encoder.dumps(one.default, ensure_ascii=False)
