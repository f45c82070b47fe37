"""Load one plugin in a worker process: import it, register it with pluggy, and check its filters.

The server does not call this module. Every error becomes a `PluginError` that names the plugin and the remedy.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from postscan.core.errors import PluginError
from postscan.core.filters import hookspecs, parameters
from postscan.core.filters.filter import API, Filter


def installed() -> list[EntryPoint]:
    """Return the entry points of all installed plugins by name, without importing any of them."""
    return sorted(entry_points(group=hookspecs.ENTRY_POINTS), key=lambda entry: entry.name)


def load(name: str) -> list[Filter]:
    """Import the plugin *name* and return its filters, each of them checked."""
    entry = next((entry for entry in installed() if entry.name == name), None)
    if entry is None:
        raise PluginError(f"no plugin named {name!r} is installed")
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(entry.load(), name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"a hook does not fit: {error}") from error
    filters = [one for group in manager.hook.postscan_filters() for one in group]
    if not filters:
        raise PluginError("it brings no filter: expected postscan_filters() to return some")
    for one in filters:
        check_filter(one)
    return filters


def settings_for(plugin: str, one: Filter, table: dict[str, Any]) -> Any:
    """Return the filter's own settings, made of the table `[filters.<plugin>]`."""
    if one.Settings is None:
        return table
    known = {field.name for field in dataclasses.fields(one.Settings) if field.init}
    for key in table:
        if key not in known:
            raise PluginError(f"[filters.{plugin}] has no setting {key!r}; it has: {', '.join(sorted(known))}")
    try:
        return one.Settings(**table)
    except (TypeError, ValueError) as error:
        raise PluginError(f"[filters.{plugin}]: {error}") from error


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
    for attribute in ("dialect", "title"):
        if not isinstance(getattr(one, attribute, None), str) or not getattr(one, attribute):
            raise PluginError(f"{kind}.{attribute} is missing: expected a text")
    if one.api != API:
        raise PluginError(f"{kind}.api is {one.api!r}; this postscan offers version {API}")
    if not isinstance(one.grace, int | float) or not 0 <= one.grace < math.inf:
        raise PluginError(f"{kind}.grace is {one.grace!r}; expected seconds")
    if one.Instructions is not None:
        try:
            parameters.schema(one.Instructions)
        except (ValueError, TypeError, NameError) as error:
            raise PluginError(f"{kind}.Instructions cannot be used: {error}") from error
    _check_method(f"{kind}.run", one.run, 2, "cannot be told to stop: expected run(self, job, token)")
    _check_method(f"{kind}.check", one.check, 1, "cannot be asked: expected check(self, instructions)")


def _check_method(name: str, method: Callable[..., Any], arguments: int, otherwise: str) -> None:
    """Raise `PluginError` for a method that takes another number of arguments, or is a coroutine or generator."""
    if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method):
        raise PluginError(f"{name} would never run: expected a plain function, neither async nor a generator")
    try:
        inspect.signature(method).bind(*(object() for _ in range(arguments)))
    except TypeError:
        raise PluginError(f"{name}{inspect.signature(method)} {otherwise}") from None
