"""The part of the catalogue that has plugins of hooks: which are installed, what they declare, what is wrong with them.

A server does not probe them: each is loaded in its own process, whose end says the same. `postscan plugin` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from postscan.core.filters import loader
from postscan.core.filters.hookspecs import HOOK_ENTRY_POINTS
from postscan.core.filters.parameters import Parameter
from postscan.core.registry import catalogue
from postscan.core.registry.catalogue import HooksInfo, Plugin, PluginKind, PluginState
from postscan.core.workers.protocol import HooksProbed, Result

ProbeHooks = Callable[[str, Mapping[str, Any] | None], Result]
"""Loads one plugin of hooks in a worker, with its table, None if it is not used; returns `HooksProbed`, or another
result if it cannot be used."""


def read(probe: ProbeHooks, tables: Mapping[str, Mapping[str, Any]], disabled: tuple[str, ...]) -> tuple[Plugin, ...]:
    """Probe every installed plugin of hooks; *tables* are those of the settings, by the name of the plugin."""
    plugins = []
    for entry in loader.installed(HOOK_ENTRY_POINTS):
        plugin = catalogue.installed(entry, disabled, PluginKind.HOOKS)
        if plugin.state is PluginState.READY:
            plugin = _probed(plugin, probe(entry.name, tables.get(entry.name)))
        plugins.append(plugin)
    return tuple(plugins)


def _probed(plugin: Plugin, result: Result) -> Plugin:
    if not isinstance(result, HooksProbed):
        return catalogue.without_declaration(plugin, result)
    try:
        info = HooksInfo(
            title=result.title,
            summary=result.summary,
            hooks=result.hooks,
            at_once=result.at_once,
            settings=tuple(Parameter.from_data(one) for one in result.settings),
            refused=result.refused,
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        return catalogue.quarantined(plugin, f"what it declares is invalid: {error}")
    return replace(plugin, hooks=info)
