"""`postscan filters`: which plugins are installed, what they bring, and why one cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postscan.cli import door, terminal, views

if TYPE_CHECKING:
    from postscan.core.registry import Plugin


def filters(
    context: typer.Context, json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False
) -> None:
    """List the installed plugins and their filters.

    Every plugin is loaded in a process of its own. One that cannot be used is `quarantined`, with the reason; the
    JSON form has its traceback. `disabled` plugins are named in the settings, and are never imported. LACKS tells
    what a filter misses on this machine.

    \b
    Examples:
      postscan filters
      postscan filters --json | jq '.[] | select(.state == "quarantined")'
    """
    with door.core(door.settings(context)) as core:
        plugins = core.catalogue().plugins
    if json:
        typer.echo(views.as_json([_record(plugin) for plugin in plugins]))
    elif plugins:
        columns = ("PLUGIN", "VERSION", "STATE", "DIALECT", "TITLE", "LACKS")
        terminal.console().print(terminal.table(columns, (row for plugin in plugins for row in _rows(plugin))))
    else:
        typer.echo("no plugins are installed")


def _rows(plugin: Plugin) -> Iterator[tuple[str, ...]]:
    """Yield one row for each filter; one with the reason if the plugin brings none."""
    state = f"{plugin.state}: {plugin.reason}" if plugin.reason else plugin.state
    about = (plugin.name, plugin.version, state)
    if not plugin.filters:
        yield (*about, "", "", "")
    for one in plugin.filters:
        yield (*about, one.dialect, one.title, "; ".join(one.lacks))


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
            }
            for one in plugin.filters
        ],
    }
