"""What a source is told when its process begins."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from postscan.core.filters.source.messages import Destination, InletStarted
from postscan.core.filters.source.ticket import ScanTicket
from postscan.core.model import json_lines
from postscan.core.service.origins import Origins
from postscan.core.settings import Settings

TICKETS: Final = 256 << 10
"""Most bytes of all tickets in one message; a destination above that has none."""

log = logging.getLogger(__name__)


def start_message(name: str, settings: Settings, origins: Origins, folder: Path, workdir: Path) -> InletStarted:
    """Return the first message to the source of an inlet."""
    source = settings.sources[name]
    return InletStarted(
        plugin=source.plugin,
        inlet=name,
        settings=source.table,
        destinations=destinations(name, origins),
        folder=folder,
        workdir=workdir,
        open_jobs=source.open_jobs,
        job_seconds=source.job_seconds,
        devices=source.devices,
        allow_clear=source.allow_clear,
    )


def destinations(inlet: str, origins: Origins) -> tuple[Destination, ...]:
    """Return the destinations of an inlet with the tickets of their processes, as they are stored now."""
    found = []
    left = TICKETS
    for id, one in origins.destinations(inlet).items():
        ticket = origins.ticket(one)
        left -= len(json_lines.write(ticket))
        if left < 0:
            about = {"label": one.label, "reason": f"all tickets of {inlet} have more than {TICKETS} bytes"}
            log.warning("scan ticket ignored", extra=about)
            ticket = ScanTicket()
        found.append(Destination(id=id, label=one.label, ticket=ticket))
    return tuple(found)
