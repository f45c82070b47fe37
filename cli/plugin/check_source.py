"""The part of `postscan plugin check` that is about sources: run and stop one with the settings of each inlet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from postscan.cli.plugin import in_child

if TYPE_CHECKING:
    from postscan.core.registry.catalogue import Plugin
    from postscan.core.settings.sources import SourceSettings


def reports(plugin: Plugin, sources: Mapping[str, SourceSettings]) -> list[dict[str, Any]]:
    """Return a report for each inlet of the plugin, or one without settings if it has none."""
    from postscan.core.registry.catalogue import PluginState
    from postscan.plugins.testing import defects
    from postscan.plugins.testing.sources.contract import SourceReport

    if plugin.state is PluginState.DISABLED:
        return [_report("", SourceReport(untried=f"it is disabled; postscan plugin enable {plugin.name}"))]
    if plugin.state is PluginState.QUARANTINED:
        return [_report("", SourceReport((defects.refused_source(plugin.reason),)))]
    inlets = {name: one for name, one in sources.items() if one.plugin == plugin.name}
    lacks = plugin.source.lacks if plugin.source else ()
    if lacks:
        return [_report("", SourceReport(untried=" ".join(lacks)))]

    def examine() -> list[dict[str, Any]]:
        from postscan.core.filters import loader
        from postscan.plugins.testing.sources import contract

        source = loader.load_source(plugin.name)
        if not inlets:
            return [_report("", contract.examine(source))]
        return [
            _report(name, contract.examine(source, settings=one.table, about=_about(name, one)))
            for name, one in inlets.items()
        ]

    return in_child.call(plugin.name, examine)


def _about(name: str, one: SourceSettings) -> dict[str, Any]:
    return {"inlet": name, "devices": one.devices, "allow_clear": one.allow_clear}


def _report(inlet: str, found: Any) -> dict[str, Any]:
    return {"inlet": inlet, **dataclasses.asdict(found)}
