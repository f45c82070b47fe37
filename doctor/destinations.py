"""The checks of plugins, scan processes and destinations. All code of plugins runs in workers.

The workers get a temporary data folder, so nothing is migrated and a running server is not disturbed.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from postscan import migrations
from postscan.core.engine import Engine
from postscan.core.errors import PostscanError, StoredProcessInvalid
from postscan.core.model.process import short_name
from postscan.core.registry.catalogue import PluginState
from postscan.doctor import directories, sources
from postscan.doctor.findings import Finding, ok, problem, warning
from postscan.soap.processes.folder import ProcessFolder

if TYPE_CHECKING:
    from postscan.core.model.process import FilterInstructions, ScanProcess
    from postscan.core.registry.catalogue import Catalogue
    from postscan.core.registry.validation import InstructionValidator
    from postscan.core.settings import Settings


def destinations(settings: Settings) -> Iterator[Finding]:
    """Check whether plugins load, scan processes are valid, destinations can be reached, and sources can run."""
    folder = ProcessFolder(settings.processes_dir, settings.processes.server_names, settings.processes.lenient)
    with _engine(settings, folder) as core, core.probing(sources=True) as (catalogue, validator):
        yield from _plugins(catalogue)
        processes = []
        for found in _processes(folder):
            if isinstance(found, Finding):
                yield found
            else:
                processes.append(found)
        for process in processes:
            yield from _process(process, catalogue, validator, settings)
        yield from sources.destinations(settings, folder, catalogue, validator.check)
        yield from sources.inlets(settings, catalogue.plugins, core.diagnose_source)
        yield from directories.directories(settings, core.diagnose_hooks)


@contextlib.contextmanager
def _engine(settings: Settings, folder: ProcessFolder) -> Iterator[Engine]:
    """Open an engine with these settings on a temporary data folder."""
    with tempfile.TemporaryDirectory(prefix="postscan-doctor-") as data:
        storage = settings.storage.model_copy(update={"data_dir": Path(data), "database": ""})
        own = settings.model_copy(update={"storage": storage})
        migrations.upgrade(own.storage.url, busy_seconds=own.storage.busy_seconds)
        with contextlib.closing(Engine(own, folder)) as core:
            yield core


def _plugins(catalogue: Catalogue) -> Iterator[Finding]:
    broken = [plugin for plugin in catalogue.plugins if plugin.state is PluginState.QUARANTINED]
    for plugin in broken:
        sentence = f"{plugin.name} is quarantined: {plugin.reason}"
        if plugin.late:
            yield warning("plugins", sentence, "[plugins] probe_seconds")
        else:
            yield problem("plugins", sentence, f"postscan plugin info {plugin.name}")
    if not broken:
        ready = [plugin.name for plugin in catalogue.plugins if plugin.state is PluginState.READY]
        yield ok("plugins", f"ready: {', '.join(ready) or 'none'}")


def _processes(folder: ProcessFolder) -> Iterator[ScanProcess | Finding]:
    """Yield each stored scan process, or the finding of one that cannot be read."""
    names = folder.names()
    if not names:
        yield warning("scan processes", "none are stored", "postscan process add FILE --name NAME")
    for name in names:
        try:
            process = folder.find(name)
        except StoredProcessInvalid as error:
            yield problem("scan processes", str(error), f"postscan process check {name}.xml")
            continue
        if process is None:
            sentence = f"{name} is for another server, by processes.server_names"
            yield warning("scan processes", sentence, "[processes] server_names = [...]")
        else:
            yield process


def _process(
    process: ScanProcess, catalogue: Catalogue, validator: InstructionValidator, settings: Settings
) -> Iterator[Finding]:
    """Check the instructions of one scan process and, if they are valid, each of its filters."""
    name = f"process {process.display_name}"
    file = f"{process.identifier}.xml"
    try:
        validator.check(process.instructions)
    except PostscanError as error:
        yield problem(name, f"jobs cannot be created from it: {error}", f"postscan process check {file}")
        return
    yield ok(name, "its instructions are valid")
    for one in process.instructions.filters:
        yield from _filter(f"{name}, {short_name(one.dialect)}", process, one, catalogue, validator, settings)


def _filter(
    name: str,
    process: ScanProcess,
    one: FilterInstructions,
    catalogue: Catalogue,
    validator: InstructionValidator,
    settings: Settings,
) -> Iterator[Finding]:
    """Check what one filter of a process needs, and its destinations."""
    found = catalogue.find(one.dialect)
    if found is None:
        yield problem(name, f"no ready plugin has the dialect {one.dialect}", "postscan plugin list")
        return
    plugin, info = found
    for missing in info.lacks:
        yield problem(name, missing, f"postscan plugin info {plugin.name}")
    if info.lacks:
        return
    problems = validator.diagnose(process.display_name, one, settings.filters.get(plugin.name, {}))
    for sentence in problems:
        yield problem(name, sentence, f"[filters.{plugin.name}] in the settings; postscan plugin info {plugin.name}")
    if not problems:
        yield ok(name, "its own checks of its destinations passed")
