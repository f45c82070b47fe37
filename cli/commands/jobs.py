"""`postscan jobs`: list, show, watch; hold, release, discard."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

import typer

from postscan.cli.context import load_settings, local_administrator, open_engine
from postscan.cli.output import exit_codes, terminal, views

if TYPE_CHECKING:
    from postscan.core.model.job import Job

POLL: Final = 0.25  # seconds between two reads of the database

app = typer.Typer(no_args_is_help=True, help="List, show and watch jobs.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_jobs(
    context: typer.Context,
    all: Annotated[bool, typer.Option("--all", help="Include jobs that have ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Number of ended jobs, newest first.")] = 50,
    json: Json = False,
) -> None:
    """List the jobs that have not ended.

    The list is read from the database; the server need not run.

    \b
    Examples:
      postscan jobs list
      postscan jobs list --all --json | jq '.[].token'
    """
    me = local_administrator()
    with open_engine(load_settings(context)) as engine:
        service = engine.service
        jobs = service.active_and_ended(me, limit) if all else service.active(me)
    if json:
        typer.echo(views.as_json([views.record(job) for job in jobs]))
    elif jobs:
        terminal.console().print(views.listed(jobs))
    else:
        typer.echo("no jobs" if all else "no active jobs; ended ones: postscan jobs list --all")


@app.command()
def show(context: typer.Context, token: str, json: Json = False) -> None:
    """Show one job in detail.

    Shows owner, user, filters, receipts, documents, deliveries and events, with times in UTC. The owner is
    the device (identified by its address) or the user (identified by a certificate) that created the job. Of a job
    that came through a source, the origin says how its sender was proven, and what it has chosen.

    \b
    Example:
      postscan jobs show 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935
    """
    me = local_administrator()
    with open_engine(load_settings(context)) as engine:
        job = engine.service.job(token, me)
        deliveries = engine.service.deliveries(token, me)
        events = engine.service.events(token, me)
        origin = engine.origins.of_job(job.token, me)
    if json:
        record = views.record(job)
        record["origin"] = views.origin_record(origin) if origin else None
        record["deliveries"] = [views.delivery_record(delivery) for delivery in deliveries]
        record["events"] = [views.event_record(event) for event in events]
        typer.echo(views.as_json(record))
        return
    console = terminal.console()
    for part in views.page(job, deliveries, events, origin):
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
def discard(context: typer.Context, token: str) -> None:
    """Remove the images of a job that has ended; delivered documents remain.

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
