"""The table of the regions of all pages, and the live updates made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from postscan.console.live.regions import SERVER, Region, server_values
from postscan.console.live.renderer import RegionRenderer
from postscan.console.live.updates import LiveUpdates
from postscan.console.rendering import region_text
from postscan.console.request import Console
from postscan.core.model.principal import Principal
from postscan.core.service.administration.changes import ChangeWatch

REGIONS: Final[Mapping[str, Region]] = {
    SERVER: Region("regions/server.html", server_values, seconds=1.0, repeat_seconds=2.0),
}


def live_updates(console: Console, regions: Mapping[str, Region] = REGIONS) -> LiveUpdates:
    """Return the live updates of a console; close them before its server stops."""

    def render(template: str, by: Principal, values: Mapping[str, Any]) -> str:
        return region_text(console, by, template, **values)

    def is_signed_in(secret: str) -> bool:
        return console.engine.sessions.find(secret, active=False) is not None

    renderer = RegionRenderer(console, regions, render)
    return LiveUpdates(renderer, lambda: ChangeWatch(console.engine.store), is_signed_in)
