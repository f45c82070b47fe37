"""The plugins: what each brings, why one cannot be used, its settings; and the switch that is in the settings file.

They are shown as they were loaded when the console first needed them, or when a person asked for it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from starlette.responses import Response

from postscan.console.errors import PageError
from postscan.console.pages.processes.checks import CATALOGUE_SECONDS
from postscan.console.rendering import render, see_other
from postscan.console.request import Console, ConsoleRequest
from postscan.core import settings as all_settings
from postscan.core.engine import is_served
from postscan.core.errors import PluginError, SettingsError
from postscan.core.filters.parameters import Parameter
from postscan.core.registry import disabled as disabled_plugins
from postscan.core.registry import redaction
from postscan.core.registry.catalogue import Plugin
from postscan.core.registry.remembered import CatalogueReading

_MOST_VALUE: Final = 500  # characters of a value on a page


class SettingRow(NamedTuple):
    """A key of the settings of a plugin, and its value as a page shows it. `is_set`: the settings file has it."""

    key: str
    kind: str
    help: str
    value: str
    is_set: bool


class SettingTable(NamedTuple):
    """The settings of the filters of a plugin, or of one inlet of a source; `title` is the table in the file."""

    title: str
    rows: list[SettingRow]


def show(request: ConsoleRequest) -> Response:
    """Show all installed plugins."""
    reading, disabled = _reading(request), _disabled(request.console)
    return render(
        request,
        "plugins/list.html",
        plugins=reading.catalogue.plugins,
        disabled=disabled,
        running=request.console.settings.plugins.disabled,
        at=reading.at,
        is_under_way=request.console.engine.remembered_catalogue.is_under_way,
    )


def load_again(request: ConsoleRequest) -> Response:
    """Begin to load all plugins again; lead to the list, which has the old ones until that is done."""
    request.console.engine.remembered_catalogue.begin()
    return see_other("/plugins", "The plugins are being loaded again; this takes some seconds.")


def show_one(request: ConsoleRequest) -> Response:
    """Show one plugin, or the filters and the source of the same name."""
    reading, name = _reading(request), request.path_value("name")
    found = [plugin for plugin in reading.catalogue.plugins if plugin.name == name]
    disabled = _disabled(request.console)
    if not found and name not in disabled:
        raise PageError(404, "There is no such plugin.", "It may have been uninstalled.")
    return render(
        request,
        "plugins/plugin.html",
        name=name,
        plugins=[(plugin, list(_tables(request.console, plugin))) for plugin in found],
        is_disabled=name in disabled,
        at=reading.at,
        file=str(request.console.settings_file or ""),
        is_served=is_served(request.console.settings.storage.data_dir),
    )


def disable(request: ConsoleRequest) -> Response:
    """Add a plugin to `plugins.disabled` in the settings file."""
    return _set_disabled(request, disabled=True)


def enable(request: ConsoleRequest) -> Response:
    """Remove a plugin from `plugins.disabled` in the settings file."""
    return _set_disabled(request, disabled=False)


def _set_disabled(request: ConsoleRequest, *, disabled: bool) -> Response:
    name, state = request.path_value("name"), "disabled" if disabled else "enabled"
    try:
        with request.console.engine.audit_trail.recorded(request.by, "switched", name, state):
            is_changed = disabled_plugins.set_disabled(request.console.settings_file, name, disabled=disabled)
    except PluginError as error:
        raise PageError(404, f"{error}.") from None
    except OSError as error:
        raise PageError(409, f"The settings file cannot be written: {error.strerror}.", _BY_HAND) from None
    if not is_changed:
        return see_other(f"/plugins/{quote(name)}", f"{name} is already {state} in the settings file.")
    return see_other(f"/plugins/{quote(name)}", f"{name} is {state} in the settings file. {_effect(request.console)}")


_BY_HAND: Final = "Let the user of the server write it, or use: postscan plugin disable NAME"


def _effect(console: Console) -> str:
    """Return which restart makes a change of the settings file count."""
    if is_served(console.settings.storage.data_dir):
        return "The running server goes on as before until it is restarted; the restart of the service does it."
    return "No server is running with this data folder; the next one reads the file when it starts."


def _reading(request: ConsoleRequest) -> CatalogueReading:
    return request.console.engine.remembered_catalogue.current(CATALOGUE_SECONDS)


def _disabled(console: Console) -> tuple[str, ...]:
    """Return the list in the settings file as it is now; that of the console, where there is none to read."""
    if console.settings_file is not None:
        try:
            return all_settings.load(console.settings_file).plugins.disabled
        except SettingsError:
            pass
    return console.settings.plugins.disabled


# --- settings --------------------------------------------------------------------------------------------------------


def _tables(console: Console, plugin: Plugin) -> Iterator[SettingTable]:
    """Yield the settings of a plugin: of its filters or hooks one table, of its source one for each inlet."""
    if plugin.source:
        inlets = {name: one.table for name, one in console.settings.sources.items() if one.plugin == plugin.name}
        for name, table in inlets.items():
            yield SettingTable(f"[sources.{name}]", list(_settings_of(plugin.source.settings, table)))
        if not inlets:
            yield SettingTable("", list(_settings_of(plugin.source.settings, {})))
        return
    if plugin.hooks:
        table = console.settings.plugins.tables.get(plugin.name, {})
        yield SettingTable(f"[plugins.{plugin.name}]", list(_settings_of(plugin.hooks.settings, table)))
        return
    declared = {key.name: key for one in plugin.filters for key in one.settings}
    table = console.settings.filters.get(plugin.name, {})
    if declared or table:
        yield SettingTable(f"[filters.{plugin.name}]", list(_settings_of(declared.values(), table)))


def _settings_of(declared: Iterable[Parameter], table: Mapping[str, Any]) -> Iterator[SettingRow]:
    """Yield the declared keys, and those that only the file has; a text that may be a secret is not shown."""
    known = {one.name: one for one in declared}
    secrets = redaction.of_parameters(known.values(), table)
    for one in known.values():
        is_set = one.name in table
        value = table.get(one.name, one.default)
        yield SettingRow(one.name, _kind(one), one.help, _value(value, one, secrets), is_set)
    for name in table.keys() - known.keys():
        yield SettingRow(name, "not declared", "", _value(table[name], None, secrets), is_set=True)


def _value(value: Any, one: Parameter | None, secrets: Iterable[str]) -> str:
    if one is not None and one.secret:
        return "set" if value not in (None, "") else "not set"
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return redaction.without(secrets, text)[:_MOST_VALUE]


def _kind(one: Parameter) -> str:
    kind = one.expected if one.choices else one.kind
    return f"{'list of ' if one.many else ''}{kind}{', secret' if one.secret else ''}"
