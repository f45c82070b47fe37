"""`postscan process test`: send one page through a scan process of the running server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from postscan.cli.context import load_settings, local_administrator, open_engine, process_folder
from postscan.cli.device import process_files
from postscan.cli.output import exit_codes, terminal, views
from postscan.core.errors import PostscanError
from postscan.core.model.formats.test_page import USER

if TYPE_CHECKING:
    from postscan.core.engine import Engine
    from postscan.core.model.job import Job, JobToken
    from postscan.core.model.principal import Principal
    from postscan.core.settings import Settings

POLL: Final = 0.1  # seconds between two reads of the job


def send_page(
    context: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="GUID of the scan process.")],
    user: Annotated[str, typer.Option(metavar="SID", help="SID of the user of the job.")] = USER,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Longest time to wait for the end of the job.")
    ] = 60.0,
) -> None:
    """Send one generated page through a scan process, and show the job.

    You create the job as an administrator of this machine; the running server processes it with its real filters,
    which really deliver. Shows the job as `postscan jobs show` does.

    \b
    Exit codes:
      0  the job was Completed
      1  an error, or the job has not ended in time; stderr has the reason
      3  the job was Canceled
      4  the job was Aborted

    \b
    Examples:
      postscan process test 7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7
      postscan process test 7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7 --user S-1-5-21-1-2-3-1001 --wait 300
    """
    settings, identifier = load_settings(context), process_files.identifier("ID", id)
    _check_served(settings)
    me = local_administrator()
    with open_engine(settings) as engine:
        job = _wait(engine, _create(engine, settings, identifier, user, me), me, wait)
        deliveries, events = engine.service.deliveries(job.token, me), engine.service.events(job.token, me)
    console = terminal.console()
    for part in views.page(job, deliveries, events):
        console.print(part)
    if not job.state.ended:
        raise PostscanError(f"the job is {job.state} after {wait:g} s; go on with: postscan jobs watch {job.token}")
    raise typer.Exit(exit_codes.of_job(job.state))


def _check_served(settings: Settings) -> None:
    """Raise `PostscanError` if no server is running."""
    from postscan.core.engine import is_served

    if not is_served(settings.storage.data_dir):
        raise PostscanError("no server is running with this data folder; start it with: postscan serve")


def _create(engine: Engine, settings: Settings, identifier: str, user: str, me: Principal) -> JobToken:
    """Create the job, send its page and end it; cancel it on an error."""
    from postscan.core.service.administration import test_job

    process = process_folder(settings).find(identifier)
    if process is None:
        raise PostscanError(f"no scan process {identifier} is stored; see: postscan process list")
    return test_job.send(engine.service, settings, process, user, me)


def _wait(engine: Engine, token: JobToken, me: Principal, seconds: float) -> Job:
    """Return the job when it has ended, or after this many seconds."""
    until = time.monotonic() + seconds
    while not (job := engine.service.job(token, me)).state.ended and time.monotonic() < until:
        time.sleep(POLL)
    return job
