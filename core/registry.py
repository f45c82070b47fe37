"""The catalogue: which plugins are installed, what they declare, and what is wrong with those that cannot be used.

Plugins are judged one by one, each in a child of its own, so that a broken one costs nobody else anything. It is
quarantined: it stays visible with its reason, and its filters do not exist. A disabled plugin is never imported.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from postscan.core import loading, wire
from postscan.core.typed import Parameter, Schema

log = logging.getLogger(__name__)

Probe = Callable[[str, Mapping[str, Any]], wire.Message]
"""Loads one plugin in a child and returns what it declares, or `{"end": "broken", "error": ..., "traceback": ...}`."""


class PluginState(StrEnum):
    """Whether a plugin's filters can be used."""

    READY = "ready"
    QUARANTINED = "quarantined"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class FilterInfo:
    """What a filter declares; `lacks` says what this machine lacks for it, `grace` is in seconds.

    `instructions` is None for a filter that reads its XML itself.
    """

    dialect: str
    title: str
    summary: str
    grace: float
    lacks: tuple[str, ...] = ()
    instructions: Schema | None = None
    settings: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Plugin:
    """One installed plugin, usable or not; `reason` and `traceback` say why not."""

    name: str
    distribution: str
    version: str
    state: PluginState
    reason: str = ""
    traceback: str = ""
    filters: tuple[FilterInfo, ...] = ()


class Catalogue:
    """All plugins, and the usable filters by dialect."""

    def __init__(self, plugins: tuple[Plugin, ...]) -> None:
        self.plugins = plugins
        self._by_dialect = {info.dialect: (plugin, info) for plugin in plugins for info in plugin.filters}

    def find(self, dialect: str) -> tuple[Plugin, FilterInfo] | None:
        """Return the plugin and the filter that answer to *dialect*."""
        return self._by_dialect.get(dialect)


def read(probe: Probe, settings: Mapping[str, Mapping[str, Any]], disabled: tuple[str, ...]) -> Catalogue:
    """Judge every installed plugin; *settings* holds their tables by plugin name."""
    plugins: list[Plugin] = []
    taken: dict[str, str] = {}
    for entry in loading.installed():
        plugin = Plugin(
            name=entry.name,
            distribution=entry.dist.name if entry.dist else "",
            version=entry.dist.version if entry.dist else "",
            state=PluginState.DISABLED if entry.name in disabled else PluginState.READY,
        )
        if plugin.state is PluginState.READY:
            plugin = _judged(plugin, probe(entry.name, settings.get(entry.name, {})), taken)
        if plugin.state is PluginState.QUARANTINED:
            log.error("plugin %s is quarantined: %s", plugin.name, plugin.reason, extra={"traceback": plugin.traceback})
        taken.update({info.dialect: plugin.name for info in plugin.filters})
        plugins.append(plugin)
    return Catalogue(tuple(plugins))


def _judged(plugin: Plugin, answer: wire.Message, taken: Mapping[str, str]) -> Plugin:
    if answer.get("end") != "declared":
        return _quarantined(plugin, str(answer.get("error", "it said nothing")), str(answer.get("traceback", "")))
    try:
        filters = tuple(_info(one) for one in answer["filters"])
    except (KeyError, TypeError, ValueError) as error:
        return _quarantined(plugin, f"what it declares makes no sense: {error}")
    seen = dict(taken)
    for info in filters:
        if info.dialect in seen:
            return _quarantined(plugin, f"its dialect {info.dialect} belongs to plugin {seen[info.dialect]} already")
        seen[info.dialect] = plugin.name
    return replace(plugin, filters=filters)


def _info(declared: Mapping[str, Any]) -> FilterInfo:
    if not 0 <= float(declared["grace"]) < math.inf:
        raise ValueError(f"grace is {declared['grace']!r}; expected seconds")
    return FilterInfo(
        dialect=str(declared["dialect"]).strip(),
        title=str(declared["title"]),
        summary=str(declared["summary"]),
        grace=float(declared["grace"]),
        lacks=tuple(str(lack) for lack in declared["lacks"]),
        instructions=Schema.from_data(declared["instructions"]) if declared["instructions"] else None,
        settings=tuple(Parameter.from_data(one) for one in declared["settings"]),
    )


def _quarantined(plugin: Plugin, reason: str, traceback: str = "") -> Plugin:
    return replace(plugin, state=PluginState.QUARANTINED, reason=reason, traceback=traceback)
