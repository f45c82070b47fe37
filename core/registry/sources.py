"""The part of the catalogue that has sources: which are installed, what they declare, what is wrong with them.

A server does not probe them: each is loaded in the process of its inlet, whose end says the same. `postscan plugin` and
`postscan doctor` do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from postscan.core.filters import loader
from postscan.core.filters.hookspecs import SOURCE_ENTRY_POINTS
from postscan.core.filters.parameters import Parameter
from postscan.core.registry import catalogue
from postscan.core.registry.catalogue import Plugin, PluginKind, PluginState, SourceInfo
from postscan.core.workers.protocol import Result, SourceProbed

Inlets = Mapping[str, Mapping[str, Any]]
"""Tables by the name of the inlet."""

ProbeSource = Callable[[str, Inlets], Result]
"""Loads the source of one plugin in a worker; returns `SourceProbed`, or another result if it cannot be used."""


def read(probe: ProbeSource, inlets: Mapping[str, Inlets], disabled: tuple[str, ...]) -> tuple[Plugin, ...]:
    """Probe every installed plugin that brings a source; *inlets* holds their tables by plugin name."""
    plugins = []
    for entry in loader.installed(SOURCE_ENTRY_POINTS):
        plugin = catalogue.installed(entry, disabled, PluginKind.SOURCE)
        if plugin.state is PluginState.READY:
            plugin = _probed(plugin, probe(entry.name, inlets.get(entry.name, {})))
        plugins.append(plugin)
    return tuple(plugins)


def _probed(plugin: Plugin, result: Result) -> Plugin:
    if not isinstance(result, SourceProbed):
        return catalogue.without_declaration(plugin, result)
    try:
        info = SourceInfo(
            title=result.title,
            summary=result.summary,
            proofs=result.proofs,
            grace=result.grace,
            once=result.once,
            pulls=result.pulls,
            lacks=result.lacks,
            settings=tuple(Parameter.from_data(one) for one in result.settings),
            refused=result.refused,
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        return catalogue.quarantined(plugin, f"what it declares is invalid: {error}")
    return replace(plugin, source=info)
