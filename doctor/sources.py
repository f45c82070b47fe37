"""The checks of sources: their destinations, their plugins, and how the inlets are."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from postscan import migrations
from postscan.core.errors import PostscanError, StoredProcessInvalid
from postscan.core.model.principal import User
from postscan.core.model.process import short_name
from postscan.core.registry.catalogue import PluginKind, PluginState
from postscan.core.settings.sources import destinations_of
from postscan.core.store.sources import inlets as queries
from postscan.core.store.sources.inlets import InletRow
from postscan.core.store.store import Store
from postscan.doctor.findings import Finding, ok, problem, warning

if TYPE_CHECKING:
    from postscan.core.model.process import Instructions, ScanProcess
    from postscan.core.registry.catalogue import FilterLookup, Plugin
    from postscan.core.settings import Settings
    from postscan.soap.processes.folder import ProcessFolder

_CHECK: Final = "sources"


def destinations(
    settings: Settings, folder: ProcessFolder, filters: FilterLookup, check: Callable[[Instructions], None]
) -> Iterator[Finding]:
    """Check whether a job can be made for each destination, and whether there are filters for it.

    *check* asks the *filters* that there are about their instructions, and raises `PostscanError`.
    """
    for name, one in settings.destinations.items():
        found = list(_destination(name, settings, folder, filters, check))
        yield from found or [ok(f"destination {name}", f"jobs can be made for {one.label!r}")]


def inlets(
    settings: Settings, plugins: Iterable[Plugin], diagnose: Callable[[str], Iterable[str]]
) -> Iterator[Finding]:
    """Check the plugin of each inlet, how the server has it, and what *diagnose* returns for one that can be used."""
    if not settings.sources:
        yield ok(_CHECK, "there are none")
        return
    sources = {plugin.name: plugin for plugin in plugins if plugin.kind is PluginKind.SOURCE}
    rows = _stored(settings)
    for name in settings.sources:
        found = list(_inlet(name, settings, sources, rows.get(name, InletRow(name)), diagnose))
        yield from found or [ok(f"source {name}", "its plugin is ready, and its own checks passed")]


def _destination(
    name: str,
    settings: Settings,
    folder: ProcessFolder,
    filters: FilterLookup,
    check: Callable[[Instructions], None],
) -> Iterator[Finding]:
    about, one = f"destination {name}", settings.destinations[name]
    yield from _missing_sources(about, name, settings)
    try:
        process = folder.find(one.process)
    except StoredProcessInvalid as error:
        yield problem(about, str(error), f"postscan process check {one.process}.xml")
        return
    if process is None and settings.plugins.tables:
        yield warning(about, f"only a directory can have its scan process {one.process}", "postscan directory check")
        return
    if process is None:
        yield problem(about, f"there is no scan process {one.process}", "postscan process list")
        return
    user = settings.users.get(one.user)
    may_be_known = user is None and bool(settings.plugins.tables)  # by a directory, with its groups
    if one.user and not may_be_known and not process.open_to(User(one.user, user.name if user else one.user)):
        sentence = f"{one.user} may not use the scan process {process.display_name}"
        yield problem(about, sentence, f"users = [...] in {one.process}.toml")
    if one.user and user is None and not may_be_known:
        sentence = f"the settings do not list {one.user}: its jobs have the SID as the name of the user"
        yield warning(about, sentence, f'[users."{one.user}"] name = ...')
    try:
        check(process.instructions)
    except PostscanError as error:
        yield problem(
            about, f"jobs cannot be created from its process: {error}", f"postscan process check {one.process}.xml"
        )
    yield from _missing_filters(about, process, filters)


def _missing_sources(about: str, name: str, settings: Settings) -> Iterator[Finding]:
    """Find a destination that no inlet offers, or only inlets that the server does not start."""
    offered = [
        inlet for inlet, source in settings.sources.items() if name in destinations_of(source, settings.destinations)
    ]
    fixes = [_fix_of_disabled(inlet, settings) for inlet in offered]
    if not offered:
        yield warning(about, "no source offers it", f"[sources.<name>] destinations = [..., {name!r}]")
    elif all(fixes):
        yield warning(about, f"only disabled sources offer it: {', '.join(offered)}", fixes[0])


def _fix_of_disabled(inlet: str, settings: Settings) -> str:
    """Return the setting or the command that enables an inlet; "" for one that is enabled."""
    source = settings.sources[inlet]
    if not source.enabled:
        return f"[sources.{inlet}] enabled = true"
    return f"postscan plugin enable {source.plugin}" if source.plugin in settings.plugins.disabled else ""


def _missing_filters(about: str, process: ScanProcess, filters: FilterLookup) -> Iterator[Finding]:
    """Find the filters that the scan process of a destination names and that no ready plugin has."""
    for dialect in dict.fromkeys(one.dialect for one in process.instructions.filters):
        if filters.find(dialect) is None:
            filter = f"process {process.display_name}, {short_name(dialect)}"
            yield warning(about, f"{filter}: no ready plugin has the dialect {dialect}", "postscan plugin list")


def _inlet(
    name: str,
    settings: Settings,
    plugins: Mapping[str, Plugin],
    row: InletRow,
    diagnose: Callable[[str], Iterable[str]],
) -> Iterator[Finding]:
    about, source = f"source {name}", settings.sources[name]
    if not source.enabled:
        yield warning(about, "is switched off", _fix_of_disabled(name, settings))
        return
    plugin = plugins.get(source.plugin)
    if plugin is None:
        yield problem(about, f"no plugin named {source.plugin!r} brings a source", "postscan plugin list")
        return
    if plugin.state is PluginState.DISABLED:
        yield warning(about, f"its plugin {plugin.name} is disabled", f"postscan plugin enable {plugin.name}")
        return
    if plugin.state is not PluginState.READY:
        yield problem(about, f"its plugin cannot be used: {plugin.reason}", f"postscan plugin info {plugin.name}")
        return
    start = f"postscan sources start {shlex.quote(name)}"
    if row.stopped:
        yield warning(about, "an administrator has stopped it", start)
    elif row.quarantine:
        yield problem(about, f"is in quarantine: {row.quarantine}", start)
    elif row.state in ("degraded", "away", "waiting"):
        yield warning(about, f"is {row.state}: {row.detail}", f"postscan sources show {shlex.quote(name)}")
    if source.allow_clear:
        yield warning(about, "accepts passwords over connections without TLS", f"[sources.{name}] allow_clear = false")
    lacks = _lacks(name, plugin)
    for sentence in lacks or diagnose(name):
        yield problem(about, sentence, f"[sources.{name}] in the settings; postscan plugin info {plugin.name}")


def _lacks(name: str, plugin: Plugin) -> list[str]:
    """Return why the source cannot be run with the settings of this inlet, or on this machine."""
    if plugin.source is None:
        return []
    refused = plugin.source.refused.get(name)
    return [*plugin.source.lacks, *([refused] if refused else [])]


def _stored(settings: Settings) -> Mapping[str, InletRow]:
    """Return how a server has the inlets; nothing if the database cannot be read, which has a finding of its own."""
    storage = settings.storage
    if not storage.database and not (storage.data_dir / "postscan.sqlite").exists():
        return {}
    try:
        if migrations.check(storage.url, busy_seconds=storage.busy_seconds):
            return {}
        with (
            contextlib.closing(Store(storage.url, busy_seconds=storage.busy_seconds)) as store,
            store.reading() as db,
        ):
            return queries.read_all(db)
    except Exception:  # noqa: BLE001  (each driver has errors of its own; `machine.records` has found this one)
        return {}
