"""The dashboard: what is wrong, what runs now, what needs attention, the last day, and the surroundings.

For who may see all jobs; others get the list of their own jobs. What takes some time to read is read once for all, and
kept for some seconds.
"""

from __future__ import annotations

import shutil
from collections import Counter
from typing import Any, Final

from starlette.responses import Response

from postscan.console.live.regions import stream_url
from postscan.console.pages.jobs import charts, found
from postscan.console.pages.jobs.found import FoundRow
from postscan.console.pages.problems import no_server, problems
from postscan.console.rendering import render
from postscan.console.request import Console, ConsoleRequest
from postscan.core.model.principal import Principal, Proof, Right
from postscan.core.model.process import short_name
from postscan.core.model.states import JobState
from postscan.core.service.administration.actions import actions
from postscan.core.service.administration.listing import MOST_COUNTED, HourOfJobs, JobGroup, JobQuery
from postscan.core.service.administration.remembered import Remembered

MOST_RUNNING: Final = 20
MOST_IN_NEED: Final = 7
MOST_DESTINATIONS: Final = 20

PARTS: Final = ("Completed", "Canceled", "Aborted", "open")
"""The parts of a column of the chart, from the bottom to the top."""

_IN_PROGRESS: Final = tuple(state for state in JobState if state.in_progress)
_SERVER: Final = Principal("console", Proof.LOCAL, admin=True)
"""Who reads the figures that everyone sees who may see all jobs."""


class DashboardFigures:
    """The figures of one console that take some time to read."""

    def __init__(self, console: Console) -> None:
        engine, ticks = console.engine, console.clock.ticks
        self.hours = Remembered(lambda: engine.listing.hours(_SERVER), 10, ticks)
        self.day = Remembered(lambda: engine.overview.filters(_SERVER), 60, ticks)
        self.times = Remembered(lambda: engine.overview.times(_SERVER), 30, ticks)
        self.spool = Remembered(lambda: engine.overview.spool(_SERVER), 30, ticks)
        self.problems = Remembered(lambda: problems(engine, _SERVER, self.day.get()), 60, ticks)


def figures(console: Console) -> DashboardFigures:
    """Return the figures of a console; each has its own."""
    return console.part(DashboardFigures, lambda: DashboardFigures(console))


def show(request: ConsoleRequest) -> Response:
    """Show the dashboard, or the caller's own jobs."""
    console, by = request.console, request.by
    if not by.may(Right.SEE):
        return found.show(request)
    values = running(console, by) | attention(console, by) | today(console, by)
    return render(
        request,
        "jobs/dashboard.html",
        live=stream_url("running", "attention", "today"),
        problems=[*no_server(console.engine), *figures(console).problems.get()],
        is_empty=not (values["day_total"] or values["open_total"] or values["attention_total"] or _has_jobs(console)),
        **values,
    )


def running(console: Console, by: Principal) -> dict[str, Any]:
    """Return the values of `regions/running.html`: the jobs in progress, and how many others are open."""
    listing = console.engine.listing
    query = JobQuery(group=JobGroup.OPEN, states=_IN_PROGRESS)
    listed = listing.search(by, query, most=MOST_RUNNING).jobs
    counts = Counter(listing.group_counts(by, JobGroup.OPEN))
    return {
        "running": [FoundRow(job, actions(job, by)) for job in listed],
        "in_progress": sum(counts[state] for state in _IN_PROGRESS),
        "slots": console.settings.running.slots,
        "receiving": counts[JobState.CREATING],
        "waiting": counts[JobState.PENDING],
        "held": counts[JobState.HELD],
        "open_total": counts.total(),
        "short_name": short_name,
    }


def attention(console: Console, by: Principal) -> dict[str, Any]:
    """Return the values of `regions/attention.html`: the newest failed jobs whose images can be processed again."""
    listing = console.engine.listing
    listed = listing.search(by, JobQuery(group=JobGroup.FAILED), most=MOST_IN_NEED).jobs
    return {
        "attention": [FoundRow(job, actions(job, by)) for job in listed],
        "attention_total": sum(listing.group_counts(by, JobGroup.FAILED).values()),
        "most_counted": MOST_COUNTED,
        "short_name": short_name,
    }


def today(console: Console, by: Principal) -> dict[str, Any]:
    """Return the values of `regions/today.html`: the jobs of the last day by hour, destinations, spool and disk."""
    kept = figures(console)
    hours = kept.hours.get() if by.may(Right.SEE) else []
    day, folder = kept.day.get(), console.settings.arrival_dir
    numbers = [_by_part(hour) for hour in hours]
    return {
        "columns": charts.columns([hour.begin for hour in hours], numbers, PARTS),
        "parts": PARTS,
        "day_total": sum(sum(one.values()) for one in numbers),
        "day_parts": {part: sum(one[part] for one in numbers) for part in PARTS},
        "destinations": day.destinations[:MOST_DESTINATIONS] if by.may(Right.SEE) else [],
        "more_destinations": max(len(day.destinations) - MOST_DESTINATIONS, 0),
        "day_jobs": day.jobs,
        "times": kept.times.get(),
        "spool": kept.spool.get(),
        "disk": shutil.disk_usage(folder) if folder.exists() else None,
        "short_name": short_name,
    }


def _by_part(hour: HourOfJobs) -> Counter[str]:
    """Return the jobs of an hour by the parts of a column; those that have not ended are one part."""
    numbers = Counter[str]()
    for state, number in hour.states.items():
        numbers[state if state.ended else "open"] += number
    return numbers


def _has_jobs(console: Console) -> bool:
    return bool(console.engine.listing.search(_SERVER, most=1).jobs)
