"""What a source is told when its process begins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from postscan.core.filters.source.messages import Destination, InletStarted
from postscan.core.settings import Settings
from postscan.core.settings.sources import DestinationSettings


def start_message(
    name: str, settings: Settings, destinations: Mapping[str, DestinationSettings], folder: Path, workdir: Path
) -> InletStarted:
    """Return the first message to the source of an inlet; *destinations* are its own, by identifier."""
    source = settings.sources[name]
    return InletStarted(
        plugin=source.plugin,
        inlet=name,
        settings=source.table,
        destinations=tuple(Destination(id=id, label=one.label) for id, one in destinations.items()),
        folder=folder,
        workdir=workdir,
        open_jobs=source.open_jobs,
        job_seconds=source.job_seconds,
        devices=source.devices,
        allow_clear=source.allow_clear,
    )
