"""Load one plugin in a worker process: import it, register it with pluggy, and check its filters, source or hooks.

The server does not call this module. Every error becomes a `PluginError` that names the plugin and the remedy.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, NamedTuple, get_args

import pluggy

from postscan.core.errors import PluginError
from postscan.core.filters import hookspecs, parameters
from postscan.core.filters.directory.context import HooksContext
from postscan.core.filters.directory.hooks import HOOKS_API, Hooks
from postscan.core.filters.filter import API, Filter
from postscan.core.filters.source.messages import ProofKind
from postscan.core.filters.source.source import SOURCE_API, Source

PROOFS: Final = tuple(sorted(get_args(ProofKind)))
"""The ways in which a source can prove who asks."""


QUESTIONS: Final = ("postscan_find_user", "postscan_find_process", "postscan_processes")
"""The hooks that a plugin of hooks may have; it has one of them at least."""


class LoadedHooks(NamedTuple):
    """A plugin of hooks that is ready: its object, the hooks that it has, and the caller of pluggy."""

    plugin: Hooks
    names: tuple[str, ...]
    call: Any


def installed(group: str = hookspecs.ENTRY_POINTS) -> list[EntryPoint]:
    """Return the entry points of all installed plugins by name, without importing any of them."""
    return sorted(entry_points(group=group), key=lambda entry: entry.name)


def load(name: str) -> list[Filter]:
    """Import the plugin *name* and return its filters, each of them checked."""
    manager = _registered(name, hookspecs.ENTRY_POINTS)
    filters = [one for group in manager.hook.postscan_filters() for one in group]
    if not filters:
        raise PluginError("it brings no filter: expected postscan_filters() to return some")
    for one in filters:
        check_filter(one)
    return filters


def load_source(name: str) -> Source:
    """Import the plugin *name* and return its source, checked."""
    manager = _registered(name, hookspecs.SOURCE_ENTRY_POINTS)
    sources = [one for group in manager.hook.postscan_sources() for one in group]
    if len(sources) != 1:
        raise PluginError(
            f"it brings {len(sources) or 'no'} sources: expected postscan_sources() to return one; "
            "a further one has an entry point of its own"
        )
    source: Source = sources[0]
    check_source(source)
    return source


def hooks_class(name: str) -> type[Hooks]:
    """Import the plugin of hooks *name* and return its class, checked; no object is made."""
    kind: type[Hooks] = _entry(name, hookspecs.HOOK_ENTRY_POINTS).load()
    check_hooks(kind)
    return kind


def make_hooks(kind: type[Hooks], context: HooksContext) -> LoadedHooks:
    """Make the object of a plugin of hooks, and check its hooks."""
    plugin = kind(context)
    manager = _manager(plugin, context.name)
    names = tuple(name for name in QUESTIONS if getattr(manager.hook, name).get_hookimpls())
    if not names:
        raise PluginError(f"it has none of the hooks {', '.join(QUESTIONS)}: mark its methods with @hookimpl")
    for name in names:
        method = getattr(plugin, name)
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
            raise PluginError(f"{kind.__name__}.{name} would never run: expected a plain function")
    return LoadedHooks(plugin, names, manager.hook)


def hooks_settings(plugin: str, kind: type[Hooks], table: dict[str, Any]) -> Any:
    """Return the settings of a plugin of hooks, made of the table `[plugins.<name>]`."""
    return _settings(f"[plugins.{plugin}]", kind.Settings, table)


def _registered(name: str, group: str) -> pluggy.PluginManager:
    """Import the plugin *name* of an entry-point group, and return the manager in which its hooks are."""
    return _manager(_entry(name, group).load(), name)


def _entry(name: str, group: str) -> EntryPoint:
    entry = next((entry for entry in installed(group) if entry.name == name), None)
    if entry is None:
        raise PluginError(f"no plugin named {name!r} is installed")
    return entry


def _manager(plugin: object, name: str) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"a hook does not fit: {error}") from error
    return manager


def settings_for(plugin: str, one: Filter, table: dict[str, Any]) -> Any:
    """Return the filter's own settings, made of the table `[filters.<plugin>]`."""
    return _settings(f"[filters.{plugin}]", one.Settings, table)


def source_settings(inlet: str, source: Source, table: dict[str, Any]) -> Any:
    """Return the source's own settings, made of the table `[sources.<inlet>]` without the server's keys."""
    return _settings(f"[sources.{inlet}]", source.Settings, table)


def _settings(section: str, kind: type[Any] | None, table: dict[str, Any]) -> Any:
    if kind is None:
        return table
    known = {field.name for field in dataclasses.fields(kind) if field.init}
    for key in table:
        if key not in known:
            raise PluginError(f"{section} has no setting {key!r}; it has: {', '.join(sorted(known))}")
    try:
        return kind(**table)
    except (TypeError, ValueError) as error:
        raise PluginError(f"{section}: {error}") from error


def instructions_for(one: Filter, xml: bytes) -> Any:
    """Return what a job asks of the filter, read from its element and checked by the filter itself.

    Raises `ValueError` with what is wrong.
    """
    instructions = parameters.read(one.Instructions, xml, one.dialect)
    one.check(instructions)
    return instructions


def check_filter(one: object) -> None:
    """Raise `PluginError` for what is not a filter, has another version of the contract, or takes no token."""
    if not isinstance(one, Filter):
        raise PluginError(f"{one!r} is not a filter: expected an instance of postscan.plugins.Filter")
    kind = type(one).__name__
    _check_texts(one, "dialect", "title")
    _check_contract(one, API)
    if one.Instructions is not None:
        try:
            parameters.schema(one.Instructions)
        except (ValueError, TypeError, NameError) as error:
            raise PluginError(f"{kind}.Instructions cannot be used: {error}") from error
    _check_method(f"{kind}.run", one.run, 2, "cannot be told to stop: expected run(self, job, token)")
    _check_method(f"{kind}.check", one.check, 1, "cannot be asked: expected check(self, instructions)")


def check_source(one: object) -> None:
    """Raise `PluginError` for what is not a source, has another version of the contract, or takes no token."""
    if not isinstance(one, Source):
        raise PluginError(f"{one!r} is not a source: expected an instance of postscan.plugins.Source")
    kind = type(one).__name__
    _check_texts(one, "title")
    _check_contract(one, SOURCE_API)
    proofs = getattr(one, "proofs", ())
    if not isinstance(proofs, tuple | list | set | frozenset) or not proofs or any(one not in PROOFS for one in proofs):
        raise PluginError(f"{kind}.proofs is {proofs!r}; expected some of {', '.join(PROOFS)}")
    if not isinstance(one.once, bool):
        raise PluginError(f"{kind}.once is {one.once!r}; expected True or False")
    _check_method(f"{kind}.run", one.run, 2, "cannot be told to stop: expected run(self, inlet, token)")
    _check_method(f"{kind}.pull", one.pull, 2, "cannot be asked: expected pull(self, inlet, destination)")


def check_hooks(kind: object) -> None:
    """Raise `PluginError` for what is no class of hooks, or has another version of the contract."""
    if not isinstance(kind, type) or not issubclass(kind, Hooks):
        raise PluginError(f"{kind!r} is no plugin of hooks: expected a class derived from postscan.plugins.Hooks")
    if not isinstance(getattr(kind, "title", None), str) or not kind.title:
        raise PluginError(f"{kind.__name__}.title is missing: expected a text")
    if kind.api != HOOKS_API:
        raise PluginError(f"{kind.__name__}.api is {kind.api!r}; this postscan offers version {HOOKS_API}")
    if not isinstance(kind.at_once, int) or isinstance(kind.at_once, bool) or kind.at_once < 1:
        raise PluginError(f"{kind.__name__}.at_once is {kind.at_once!r}; expected a number from 1 on")


def _check_texts(one: object, *attributes: str) -> None:
    for attribute in attributes:
        if not isinstance(getattr(one, attribute, None), str) or not getattr(one, attribute):
            raise PluginError(f"{type(one).__name__}.{attribute} is missing: expected a text")


def _check_contract(one: Filter | Source, version: int) -> None:
    kind = type(one).__name__
    if one.api != version:
        raise PluginError(f"{kind}.api is {one.api!r}; this postscan offers version {version}")
    if not isinstance(one.grace, int | float) or not 0 <= one.grace < math.inf:
        raise PluginError(f"{kind}.grace is {one.grace!r}; expected seconds")


def _check_method(name: str, method: Callable[..., Any], arguments: int, otherwise: str) -> None:
    """Raise `PluginError` for a method that takes another number of arguments, or is a coroutine or generator."""
    if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method):
        raise PluginError(f"{name} would never run: expected a plain function, neither async nor a generator")
    try:
        inspect.signature(method).bind(*(object() for _ in range(arguments)))
    except TypeError:
        raise PluginError(f"{name}{inspect.signature(method)} {otherwise}") from None
