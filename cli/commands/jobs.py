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

POLL: Final = 0.25  # seconds between two looks at the database

app = typer.Typer(no_args_is_help=True, help="List, show and watch jobs.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


@app.command("list")
def list_jobs(
    context: typer.Context,
    all: Annotated[bool, typer.Option("--all", help="The jobs that have ended as well.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many ended jobs, the newest first.")] = 50,
    json: Json = False,
) -> None:
    """List the jobs that have not ended.

    They come straight from the database; the server need not run.

    \b
    Examples:
      postscan jobs list
      postscan jobs list --all --json | jq '.[].token'
    """
    me = local_administrator()
    with open_engine(load_settings(context)) as core:
        jobs = core.service.active(me)
        if all:
            jobs += core.service.history(me, limit=limit)
    if json:
        typer.echo(views.as_json([views.record(job) for job in jobs]))
    elif jobs:
        terminal.console().print(views.listed(jobs))
    else:
        typer.echo("no jobs" if all else "no active jobs; ended ones: postscan jobs list --all")


@app.command()
def show(context: typer.Context, token: str, json: Json = False) -> None:
    """Show all that is known of one job.

    Owner and user, each filter with its state, the documents, what was delivered, and what happened when, in UTC.
    The owner is the device (known by its address) or the user (known by a certificate) that created the job.

    \b
    Example:
      postscan jobs show 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935
    """
    me = local_administrator()
    with open_engine(load_settings(context)) as core:
        job = core.service.job(token, me)
        deliveries = core.service.deliveries(token, me)
        events = core.service.events(token, me)
    if json:
        record = views.record(job)
        record["deliveries"] = [views.delivery_record(delivery) for delivery in deliveries]
        record["events"] = [views.event_record(event) for event in events]
        typer.echo(views.as_json(record))
        return
    console = terminal.console()
    for part in views.page(job, deliveries, events):
        console.print(part)


@app.command()
def hold(context: typer.Context, token: str) -> None:
    """Keep a job that waits from being processed, until `release`.

    \b
    Example:
      postscan jobs hold 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935
    """
    with open_engine(load_settings(context)) as core:
        core.service.hold(token, local_administrator())
    typer.echo("Pending-Held")


@app.command()
def release(context: typer.Context, token: str) -> None:
    """Let a held job be processed, or the images of a job whose device fell silent.

    A job that timed out stays Aborted: its images become a new job of the same owner. Prints the token of the job
    that will run.

    \b
    Example:
      postscan jobs release 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935
    """
    with open_engine(load_settings(context)) as core:
        typer.echo(core.service.release(token, local_administrator()))


@app.command()
def discard(context: typer.Context, token: str) -> None:
    """Remove the images of a job that has ended; what filters delivered stays where it is.

    An aborted job keeps its images until somebody does this; those of completed and canceled jobs go by themselves
    (`retention` in the settings).

    \b
    Example:
      postscan jobs discard 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935
    """
    with open_engine(load_settings(context)) as core:
        core.service.discard(token, local_administrator())
    typer.echo("discarded")


@app.command()
def watch(context: typer.Context, token: Annotated[str, typer.Argument()] = "") -> None:
    """Watch one job until it has ended, or all active jobs until Ctrl-C.

    A live table on a terminal; one line for each change in a pipe.

    \b
    Exit codes, when one job is watched:
      0  Completed
      3  Canceled
      4  Aborted
    """
    me = local_administrator()
    with open_engine(load_settings(context)) as core, contextlib.suppress(KeyboardInterrupt):
        if token:
            last = _show_while_changing(lambda: [core.service.job(token, me)], lambda jobs: jobs[0].state.ended)
            raise typer.Exit(exit_codes.of_job(last[0].state))
        _show_while_changing(lambda: core.service.active(me), lambda _jobs: False)


def _show_while_changing(look: Callable[[], list[Job]], enough: Callable[[list[Job]], bool]) -> list[Job]:
    """Show what *look* returns, again and again until it is *enough*; return the last."""
    if terminal.console().is_terminal:
        return _show_live(look, enough)
    return _print_changes(look, enough)


def _show_live(look: Callable[[], list[Job]], enough: Callable[[list[Job]], bool]) -> list[Job]:
    from rich.live import Live

    with Live(console=terminal.console(), auto_refresh=False) as live:
        while True:
            jobs = look()
            live.update(views.listed(jobs), refresh=True)
            if enough(jobs):
                return jobs
            time.sleep(POLL)


def _print_changes(look: Callable[[], list[Job]], enough: Callable[[list[Job]], bool]) -> list[Job]:
    said: set[str] = set()
    while True:
        jobs = look()
        lines = [views.line(job) for job in jobs]
        for line in lines:
            if line not in said:
                typer.echo(line)
        said = set(lines)
        if enough(jobs):
            return jobs
        time.sleep(POLL)
