"""The catalogue: which plugins are installed, what they declare, and what is wrong with those that cannot be used.

Plugins are probed one by one, each in a worker process of its own, so that a broken plugin does not affect another. It
is quarantined: it stays visible with its reason, and its filters do not exist. One that was late is known to be slow
and not to be broken, so a server probes it again. A disabled plugin is never imported.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.metadata import EntryPoint
from typing import Any, Final, Protocol

from postscan.core.filters import loader
from postscan.core.filters.parameters import Parameter, Schema
from postscan.core.workers.protocol import (
    FilterDeclaration,
    OrderBroken,
    OrderFailed,
    OrderLate,
    PluginDeclared,
    Result,
)

log = logging.getLogger(__name__)

MOST_PARAMETERS: Final = 200
DEEPEST: Final = 8
"""Most elements that one filter's instructions may declare, and how deep one may lie."""

_NAME: Final = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_TYPES: Final[dict[str, Any]] = {
    "name": str,
    "kind": str,
    "many": bool,
    "required": bool,
    "help": str,
    "longest": int,
    "least": int | float | None,
    "most": int | float | None,
}

ProbePlugin = Callable[[str, Mapping[str, Any]], Result]
"""Loads one plugin in a worker; returns `PluginDeclared`, or `OrderBroken` or `OrderFailed` if it cannot be used."""


class PluginKind(StrEnum):
    """What a plugin brings; filters, a source and hooks may have the same name."""

    FILTERS = "filters"
    SOURCE = "source"
    HOOKS = "hooks"


class PluginState(StrEnum):
    """Whether a plugin's filters, or its source, can be used."""

    READY = "ready"
    QUARANTINED = "quarantined"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class FilterInfo:
    """What a filter declares; `lacks` says what this machine lacks for it, `grace` is in seconds.

    `instructions` is None for a filter that reads its XML itself; `checks` says that it has a `check` of its own.
    """

    dialect: str
    title: str
    summary: str
    grace: float
    lacks: tuple[str, ...] = ()
    instructions: Schema | None = None
    settings: tuple[Parameter, ...] = ()
    checks: bool = False

    @property
    def has_own_check(self) -> bool:
        """Whether code of the author checks instructions, beside what is declared."""
        return self.checks or (self.instructions is not None and self.instructions.judged)


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source declares; `lacks` says what this machine lacks for it, `grace` is in seconds.

    `refused` says what is wrong with the settings of an inlet, by its name.
    """

    title: str
    summary: str
    proofs: tuple[str, ...]
    grace: float
    once: bool = False
    pulls: bool = False
    lacks: tuple[str, ...] = ()
    settings: tuple[Parameter, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HooksInfo:
    """What a plugin of hooks declares; `refused` says what is wrong with its table, "" without one."""

    title: str
    summary: str
    hooks: tuple[str, ...]
    at_once: int
    settings: tuple[Parameter, ...] = ()
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One installed plugin, usable or not; `reason` and `traceback` say why not, `late` that it was only slow."""

    name: str
    distribution: str
    version: str
    state: PluginState
    reason: str = ""
    traceback: str = ""
    filters: tuple[FilterInfo, ...] = ()
    kind: PluginKind = PluginKind.FILTERS
    source: SourceInfo | None = None
    late: bool = False
    hooks: HooksInfo | None = None


class FilterLookup(Protocol):
    """The usable filters, found by dialect: a catalogue, or the active filters of the engine."""

    @property
    def awaits(self) -> bool:
        """Whether a plugin is probed again soon, so that a dialect without a filter may get one."""

    def find(self, dialect: str) -> tuple[Plugin, FilterInfo] | None:
        """Return the plugin and the filter of this dialect."""


class Catalogue:
    """All plugins, and the usable filters by dialect."""

    awaits = False

    def __init__(self, plugins: tuple[Plugin, ...]) -> None:
        self.plugins = plugins
        self._by_dialect = {info.dialect: (plugin, info) for plugin in plugins for info in plugin.filters}

    @property
    def dialects(self) -> tuple[str, ...]:
        """The dialects of the usable filters."""
        return tuple(self._by_dialect)

    @property
    def late(self) -> tuple[str, ...]:
        """The names of the plugins of filters that were late."""
        return tuple(plugin.name for plugin in self.plugins if plugin.late)

    def find(self, dialect: str) -> tuple[Plugin, FilterInfo] | None:
        """Return the plugin and the filter of this dialect."""
        return self._by_dialect.get(dialect)


def read(probe: ProbePlugin, settings: Mapping[str, Mapping[str, Any]], disabled: tuple[str, ...]) -> Catalogue:
    """Probe every installed plugin of filters; *settings* holds their tables by plugin name."""
    plugins: list[Plugin] = []
    taken: dict[str, str] = {}
    for entry in loader.installed():
        plugin = installed(entry, disabled)
        if plugin.state is PluginState.READY:
            plugin = _probed(plugin, probe(entry.name, settings.get(entry.name, {})), taken)
        taken.update({info.dialect: plugin.name for info in plugin.filters})
        plugins.append(plugin)
    return Catalogue(tuple(plugins))


def read_again(before: Catalogue, probe: ProbePlugin, settings: Mapping[str, Mapping[str, Any]]) -> Catalogue:
    """Probe the plugins of a catalogue that were late, and return the catalogue with those that are not late again."""
    plugins = list(before.plugins)
    for place, plugin in enumerate(plugins):
        if plugin.late and not isinstance(result := probe(plugin.name, settings.get(plugin.name, {})), OrderLate):
            taken = {info.dialect: one.name for one in plugins for info in one.filters}
            plugins[place] = _probed(replace(plugin, state=PluginState.READY, reason="", late=False), result, taken)
    return Catalogue(tuple(plugins))


def installed(entry: EntryPoint, disabled: tuple[str, ...], kind: PluginKind = PluginKind.FILTERS) -> Plugin:
    """Return an installed plugin that was not probed yet, disabled or ready."""
    return Plugin(
        name=entry.name,
        distribution=entry.dist.name if entry.dist else "",
        version=entry.dist.version if entry.dist else "",
        state=PluginState.DISABLED if entry.name in disabled else PluginState.READY,
        kind=kind,
    )


def quarantined(plugin: Plugin, reason: str, traceback: str = "") -> Plugin:
    """Return a plugin that cannot be used, and log why."""
    log.error("plugin quarantined", extra={"plugin": plugin.name, "reason": reason, "traceback": traceback})
    return replace(plugin, state=PluginState.QUARANTINED, reason=reason, traceback=traceback)


def without_declaration(plugin: Plugin, result: Result) -> Plugin:
    """Return the plugin whose probe has this result, which is no declaration, quarantined."""
    error = result.error if isinstance(result, OrderBroken | OrderFailed) else f"its worker sent {result.type}"
    if isinstance(result, OrderLate) and plugin.kind is PluginKind.FILTERS:
        return replace(quarantined(plugin, f"{error}; a running server tries again"), late=True)
    return quarantined(plugin, error, result.traceback if isinstance(result, OrderBroken) else "")


def _probed(plugin: Plugin, result: Result, taken: Mapping[str, str]) -> Plugin:
    if not isinstance(result, PluginDeclared):
        return without_declaration(plugin, result)
    try:
        filters = tuple(_info(one) for one in result.filters)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        return quarantined(plugin, f"what it declares is invalid: {error}")
    seen = dict(taken)
    for info in filters:
        if info.dialect in seen:
            return quarantined(plugin, f"its dialect {info.dialect} belongs to plugin {seen[info.dialect]} already")
        seen[info.dialect] = plugin.name
    return replace(plugin, filters=filters)


def _info(declared: FilterDeclaration) -> FilterInfo:
    dialect = declared.dialect
    if not dialect or dialect != dialect.strip():
        raise ValueError(f"dialect is {dialect!r:.64}; expected a URI, without blanks around it")
    return FilterInfo(
        dialect=dialect,
        title=declared.title,
        summary=declared.summary,
        grace=declared.grace,
        lacks=declared.lacks,
        instructions=_schema(declared.instructions) if declared.instructions else None,
        settings=tuple(Parameter.from_data(one) for one in declared.settings),
        checks=declared.checks,
    )


def _schema(declared: Mapping[str, Any]) -> Schema:
    """Return the schema of the instructions if this process can use it safely; raise `ValueError` or `TypeError`.

    It comes from a worker: its names are returned in faults, its bounds compared with values, its paths followed.
    """
    schema = Schema.from_data(declared)
    if len(schema.parameters) > MOST_PARAMETERS:
        raise ValueError(f"{len(schema.parameters)} elements; expected at most {MOST_PARAMETERS}")
    for one in schema.parameters:
        if not 0 < len(one.path) <= DEEPEST:
            raise ValueError(f"an element in {len(one.path) - 1} others; expected 0 to {DEEPEST - 1}")
        for key, kind in _TYPES.items():
            if not isinstance(getattr(one, key), kind):
                raise TypeError(f"{key} of {one.path[-1]} is {getattr(one, key)!r:.64}")
        if one.many and not isinstance(one.default, list | None):
            raise TypeError(f"default of {one.path[-1]} is {one.default!r:.64}; expected a list")
        _ = one.expected  # a bound that cannot be written down raises
    for name in (schema.element, *(part for one in schema.parameters for part in one.path)):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r:.64} names no element; expected a letter, then letters, digits, . - _")
    return schema
