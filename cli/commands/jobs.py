"""`postscan jobs`: list, search, count, show, watch, log; hold, release, retry, discard."""

from __future__ import annotations

import contextlib
import json as encoder
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from postscan.cli.context import load_settings, local_administrator, open_engine
from postscan.cli.options import Json, moment
from postscan.cli.output import exit_codes, terminal, views
from postscan.core.model.states import JobReason, JobState

if TYPE_CHECKING:
    from postscan.core.engine import Engine
    from postscan.core.model.job import Job
    from postscan.core.service.administration.listing import FoundJobs, JobQuery

POLL: Final = 0.25  # seconds between two reads of the database

app = typer.Typer(no_args_is_help=True, help="List, show and watch jobs.")


@app.command("list")
def list_jobs(
    context: typer.Context,
    all: Annotated[bool, typer.Option("--all", help="Include jobs that have ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Number of ended jobs or of found ones, newest first.")] = 50,
    state: Annotated[
        list[JobState] | None, typer.Option(metavar="STATE", help="Jobs in this state, as Aborted; may be repeated.")
    ] = None,
    reason: Annotated[
        JobReason | None, typer.Option(metavar="REASON", help="Jobs with this reason, as PostScanJobTimedOut.")
    ] = None,
    process: Annotated[str, typer.Option(metavar="NAME", help="Jobs of this scan process; name or GUID.")] = "",
    user: Annotated[str, typer.Option(metavar="NAME", help="Jobs for this user; name or SID.")] = "",
    device: Annotated[
        str, typer.Option(metavar="NAME", help="Jobs of this device; address, owner, or subject of a source's job.")
    ] = "",
    destination: Annotated[
        str, typer.Option(metavar="PLACE", help="Jobs that delivered there, or that a source has for it.")
    ] = "",
    begin: Annotated[
        datetime | None,
        typer.Option("--from", parser=moment, metavar="DATE", help="Jobs created at this date or time (UTC) or later."),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option("--to", parser=moment, metavar="DATE", help="Jobs created before this date or time (UTC)."),
    ] = None,
    text: Annotated[
        str, typer.Option(help="Jobs with this text in their root name, or in the name of process or user.")
    ] = "",
    after: Annotated[
        str, typer.Option(metavar="CURSOR", help="Continue a search behind the place that it has printed.")
    ] = "",
    json: Json = False,
) -> None:
    """List the jobs that have not ended, or search all jobs.

    The list is read from the database; the server need not run. Any option from --state to --after searches all jobs,
    also those that have ended, for those that fulfil every option: newest first, at most --limit of them (500 at most).
    If there may be more, the option to continue with is printed on stderr; a search ends after a second, too.

    \b
    Examples:
      postscan jobs list
      postscan jobs list --all --json | jq '.[].token'
      postscan jobs list --reason PostScanJobCompletedWithErrors --from 2026-03-01
      postscan jobs list --user anna@fabrikam.example --text invoice
    """
    from postscan.core.service.administration.listing import ALL_JOBS, JobQuery

    query = JobQuery(tuple(state or ()), reason, process, user, device, destination, begin, end, text)
    with open_engine(load_settings(context)) as engine:
        if query != ALL_JOBS or after:
            _print_found(_search(engine, query, after, limit), limit, json)
        else:
            _print_listed(engine, all, limit, json)


def _search(engine: Engine, query: JobQuery, after: str, limit: int) -> FoundJobs:
    from postscan.core.service.administration.listing import SearchCursor

    cursor = SearchCursor.parse(after) if after else None
    return engine.listing.search(local_administrator(), query, cursor, limit)


def _print_found(found: FoundJobs, limit: int, json: bool) -> None:
    from postscan.core.service.administration import records

    if json:
        typer.echo(views.as_json([records.ListedJobRecord.of(job).plain() for job in found.jobs]))
    elif found.jobs:
        terminal.console().print(views.listed(found.jobs))
    else:
        typer.echo("no jobs found")
    if found.cursor is not None:
        reached = "more" if len(found.jobs) >= limit else f"searched back to {views.moment(found.cursor.created)}"
        typer.echo(f"{reached}; to continue: --after {found.cursor}", err=True)


def _print_listed(engine: Engine, all: bool, limit: int, json: bool) -> None:
    from postscan.core.service.administration import records

    me, service = local_administrator(), engine.service
    jobs = service.active_and_ended(me, limit) if all else service.active(me)
    if json:
        typer.echo(views.as_json([records.JobRecord.of(job).plain() for job in jobs]))
    elif jobs:
        terminal.console().print(views.listed(jobs))
    else:
        typer.echo("no jobs" if all else "no active jobs; ended ones: postscan jobs list --all")


@app.command()
def counts(context: typer.Context, json: Json = False) -> None:
    """Count the jobs by state, and those of a day by hour.

    The day is the last 24 hours, by the hour of creation in UTC. Jobs that have ended are counted until they are
    removed (`retention` in the settings).

    \b
    Examples:
      postscan jobs counts
      postscan jobs counts --json | jq .states.Aborted
    """
    from postscan.core.service.administration import records

    me = local_administrator()
    with open_engine(load_settings(context)) as engine:
        states, hours = engine.listing.counts(me), engine.listing.hours(me)
    if json:
        typer.echo(views.as_json(records.CountsRecord.of(states, hours).plain()))
        return
    console = terminal.console()
    for part in views.counted(states, hours):
        console.print(part)


@app.command()
def show(context: typer.Context, token: str, json: Json = False) -> None:
    """Show one job in detail.

    Shows owner, user, filters, receipts, documents, deliveries and events, with times in UTC. Actions are the
    commands that the job allows now: cancel, hold, release, retry, discard. The owner is the device (identified by
    its address) or the user (identified by a certificate) that created the job. Of a job that came through a source,
    the origin says how its sender was proven, and what it has chosen; a note says what the device did not scan as
    it was asked to.

    \b
    Example:
      postscan jobs show 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935
    """
    from postscan.core.service.administration import records
    from postscan.core.service.administration.actions import actions

    me = local_administrator()
    with open_engine(load_settings(context)) as engine:
        job = engine.service.job(token, me)
        deliveries = engine.service.deliveries(token, me)
        events = engine.service.events(token, me)
        origin = engine.origins.of_job(job.token, me)
        notes = engine.service.notes(token, me)
    if json:
        details = records.JobDetails.of(job, actions(job, me), origin, notes, deliveries, events)
        typer.echo(views.as_json(details.plain()))
        return
    console = terminal.console()
    for part in views.page(job, deliveries, events, origin, actions(job, me), notes):
        console.print(part)


@app.command()
def hold(context: typer.Context, token: str) -> None:
    """Keep a waiting job from being processed, until `release`.

    \b
    Example:
      postscan jobs hold 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935
    """
    with open_engine(load_settings(context)) as engine:
        engine.service.hold(token, local_administrator())
    typer.echo("Pending-Held")


@app.command()
def release(context: typer.Context, token: str) -> None:
    """Release a held job, or the images of a job that timed out because its device sent nothing.

    A job that timed out stays Aborted: its images become a new job of the same owner. Prints the token of the job
    that will run.

    \b
    Example:
      postscan jobs release 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935
    """
    with open_engine(load_settings(context)) as engine:
        typer.echo(engine.service.release(token, local_administrator()))


@app.command()
def retry(
    context: typer.Context,
    token: str,
    begin: Annotated[
        int | None,
        typer.Option("--from", min=1, metavar="N", help="Number of the first filter; default: the first that failed."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only print what would run again.")] = False,
) -> None:
    """Process the images of a job again that failed, as a new job.

    For jobs that are Completed with errors, or Aborted by a filter, while their images are kept. The new job has the
    same owner, and these filters: the one that failed, those after it, and earlier ones that made documents, since
    these are removed at the end of a job. Prints on stderr what each filter does, and then the token of the new job.
    The images are those of the new job from then on, so a job can be retried once.

    \b
    Examples:
      postscan jobs retry --check 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935
      postscan jobs retry 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935 --from 2
    """
    me, position = local_administrator(), None if begin is None else begin - 1
    with open_engine(load_settings(context)) as engine:
        for line in views.planned(engine.service.plan_retry(token, me, position)):
            typer.echo(line, err=not check)
        if not check:
            typer.echo(engine.service.retry(token, me, position))


@app.command()
def discard(context: typer.Context, token: str) -> None:
    """Remove the images and the log of a job that has ended; delivered documents remain.

    An aborted job keeps its images until they are released or discarded. The images of completed and canceled jobs,
    and of jobs that timed out, are removed automatically (`retention` in the settings).

    \b
    Example:
      postscan jobs discard 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935
    """
    with open_engine(load_settings(context)) as engine:
        engine.service.discard(token, local_administrator())
    typer.echo("discarded")


@app.command()
def watch(context: typer.Context, token: Annotated[str, typer.Argument()] = "") -> None:
    """Watch one job until it has ended, or all active jobs until Ctrl-C.

    Shows a live table on a terminal, and one line for each change in a pipe.

    \b
    Exit codes, when one job is watched:
      0  Completed
      3  Canceled
      4  Aborted
    """
    me = local_administrator()
    with open_engine(load_settings(context)) as engine, contextlib.suppress(KeyboardInterrupt):
        if token:
            last = _show_while_changing(lambda: [engine.service.job(token, me)], lambda jobs: jobs[0].state.ended)
            raise typer.Exit(exit_codes.of_job(last[0].state))
        _show_while_changing(lambda: engine.service.active(me), lambda _jobs: False)


@app.command("log")
def show_log(
    context: typer.Context,
    token: str,
    follow: Annotated[
        bool, typer.Option("--follow", help="Print new lines until the job has ended, or until Ctrl-C.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on each line.")] = False,
) -> None:
    """Print what the filters of a job have logged.

    Each line has the time in UTC, the number of the filter, its run if it ran again, level and text.

    \b
    Example:
      postscan jobs log 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935 --follow
    """
    from postscan.core.service.administration import records

    me = local_administrator()
    after = 0
    with open_engine(load_settings(context)) as engine, contextlib.suppress(KeyboardInterrupt):
        while True:
            has_ended = engine.service.job(token, me).state.ended  # read first: no line follows the end
            lines, after = engine.service.lines(token, me, after)
            for line in lines:
                typer.echo(encoder.dumps(records.LogLineRecord.of(line).plain()) if json else views.log_line(line))
            if has_ended or not follow:
                return
            time.sleep(POLL)


def _show_while_changing(load: Callable[[], list[Job]], is_done: Callable[[list[Job]], bool]) -> list[Job]:
    """Load and show jobs repeatedly until *is_done*; return the last."""
    if terminal.console().is_terminal:
        return _show_live(load, is_done)
    return _print_changes(load, is_done)


def _show_live(load: Callable[[], list[Job]], is_done: Callable[[list[Job]], bool]) -> list[Job]:
    from rich.live import Live

    with Live(console=terminal.console(), auto_refresh=False) as live:
        while True:
            jobs = load()
            live.update(views.listed(jobs), refresh=True)
            if is_done(jobs):
                return jobs
            time.sleep(POLL)


def _print_changes(load: Callable[[], list[Job]], is_done: Callable[[list[Job]], bool]) -> list[Job]:
    printed: set[str] = set()
    while True:
        jobs = load()
        lines = [views.line(job) for job in jobs]
        for line in lines:
            if line not in printed:
                typer.echo(line)
        printed = set(lines)
        if is_done(jobs):
            return jobs
        time.sleep(POLL)
