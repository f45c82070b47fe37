"""`postscan plugin`: list and explain the installed plugins; the other commands are in modules of their own."""

from __future__ import annotations

import dataclasses
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
    from postscan.core.registry.catalogue import FilterInfo, Plugin

app = typer.Typer(no_args_is_help=True, help="List, explain, check, enable and create plugins.")

JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_plugins(context: typer.Context, json: JSON = False) -> None:
    """List the installed plugins and their filters.

    Each plugin is loaded in a process of its own. One that cannot be used is `quarantined`, with the reason;
    `postscan plugin info` has its traceback. `disabled` plugins are named in the settings, and are never imported.
    LACKS is what a filter needs and this machine does not have.

    \b
    Examples:
      postscan plugin list
      postscan plugin list --json | jq '.[] | select(.state == "quarantined")'
    """
    plugins = _installed(context)
    if json:
        typer.echo(views.as_json([_record(plugin) for plugin in plugins]))
    elif plugins:
        columns = ("PLUGIN", "VERSION", "DISTRIBUTION", "STATE", "DIALECT", "TITLE", "LACKS")
        terminal.console().print(terminal.table(columns, (row for plugin in plugins for row in _filter_rows(plugin))))
    else:
        typer.echo("no plugins are installed")


@app.command()
def info(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Plugin, as `postscan plugin list` names it.")],
    json: JSON = False,
) -> None:
    """Explain a plugin: its filters, their instructions and settings.

    Instructions are elements of the scan process, in the namespace of the dialect. Settings are keys of the table
    `[filters.NAME]`; this shows the keys, never their values. For a `quarantined` plugin it shows the traceback.

    \b
    Examples:
      postscan plugin info stamp
      postscan plugin info stamp --json | jq '.filters[].instructions'
    """
    plugins = {plugin.name: plugin for plugin in _installed(context)}
    if name not in plugins:
        raise PluginError(f"no plugin {name!r} is installed; installed are: {', '.join(plugins) or 'none'}")
    if json:
        typer.echo(views.as_json(_record(plugins[name])))
        return
    console = terminal.console()
    for part in _page(plugins[name]):
        console.print(part)


app.command()(check.check)
app.command()(enable.enable)
app.command()(enable.disable)
app.command()(new.new)


def _installed(context: typer.Context) -> tuple[Plugin, ...]:
    """Return the catalogue of plugins; each is loaded in a child process, with the settings of this command."""
    with open_engine(load_settings(context)) as engine:
        return engine.catalogue().plugins


def _filter_rows(plugin: Plugin) -> Iterator[tuple[str, ...]]:
    """Yield one row for each filter, or one row for a plugin without filters."""
    about = (plugin.name, plugin.version, plugin.distribution, _state(plugin))
    if not plugin.filters:
        yield (*about, "", "", "")
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
        yield from _settings(plugin, one)


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


def _settings(plugin: Plugin, one: FilterInfo) -> Iterator[str | Table]:
    if not one.settings:
        yield f"\nSettings in [filters.{terminal.plain(plugin.name)}]: none are declared"
        return
    yield f"\nSettings in [filters.{terminal.plain(plugin.name)}]"
    rows = ((key.name, _kind(key), _default(key), key.help) for key in one.settings)
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


def _record(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "state": plugin.state,
        "reason": plugin.reason,
        "traceback": plugin.traceback,
        "filters": [
            {
                "dialect": one.dialect,
                "title": one.title,
                "summary": one.summary,
                "grace": one.grace,
                "lacks": list(one.lacks),
                "instructions": _schema_record(one.instructions) if one.instructions else None,
                "settings": [_setting_record(key) for key in one.settings],
            }
            for one in plugin.filters
        ],
    }


def _schema_record(schema: Schema) -> dict[str, Any]:
    parameters = [
        {
            "path": "/".join(one.path),
            "type": one.kind,
            "many": one.many,
            "required": one.required,
            "default": one.default,
            "expected": one.expected,
            "help": one.help,
        }
        for one in schema.parameters
    ]
    return {"element": schema.element, "help": schema.help, "judged": schema.judged, "parameters": parameters}


def _setting_record(key: Parameter) -> dict[str, Any]:
    shown = dataclasses.replace(key, default=None) if key.secret else key
    return {
        "key": shown.name,
        "type": shown.kind,
        "many": shown.many,
        "required": shown.required,
        "default": shown.default,
        "choices": list(shown.choices),
        "secret": shown.secret,
        "help": shown.help,
    }
