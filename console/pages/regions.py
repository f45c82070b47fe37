"""The table of the regions of all pages, and the live updates made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from postscan.console.live.regions import SERVER, Region, server_values
from postscan.console.live.renderer import RegionRenderer
from postscan.console.live.updates import LiveUpdates
from postscan.console.pages import dashboard
from postscan.console.pages.jobs import found, job, query
from postscan.console.rendering import region_text
from postscan.console.request import Console
from postscan.core.model.principal import Principal, Right
from postscan.core.service.administration.changes import ChangeWatch

MOST_FIELDS: Final = 50
"""Of the query of a list."""


def _listed(console: Console, by: Principal, argument: str) -> Mapping[str, Any]:
    """Return the values of a page of jobs; the argument is the query of its URL."""
    return found.region(console, by, query.read(parse_qsl(argument, max_num_fields=MOST_FIELDS)))


REGIONS: Final[Mapping[str, Region]] = {
    SERVER: Region("regions/server.html", server_values, seconds=1.0, repeat_seconds=2.0),
    "running": Region(
        "regions/running.html",
        lambda console, by, _: dashboard.running(console, by),
        follows_jobs=True,
        right=Right.SEE,
    ),
    "attention": Region(
        "regions/attention.html", lambda console, by, _: dashboard.attention(console, by), right=Right.SEE
    ),
    "today": Region(
        "regions/today.html", lambda console, by, _: dashboard.today(console, by), seconds=5.0, right=Right.SEE
    ),
    "rows": Region("regions/rows.html", _listed, seconds=0.5),
    "job": Region("regions/job.html", job.region, follows_jobs=True, is_of_job=True),
    "log": Region(
        "regions/log.html", job.log_region, seconds=0.5, follows_jobs=True, is_of_job=True, right=Right.OPERATE
    ),
}


def live_updates(console: Console, regions: Mapping[str, Region] = REGIONS) -> LiveUpdates:
    """Return the live updates of a console; close them before its server stops."""

    def render(template: str, by: Principal, values: Mapping[str, Any]) -> str:
        return region_text(console, by, template, **values)

    def is_signed_in(secret: str) -> bool:
        return console.engine.sessions.find(secret, active=False) is not None

    renderer = RegionRenderer(console, regions, render)
    return LiveUpdates(renderer, lambda: ChangeWatch(console.engine.store), is_signed_in)
