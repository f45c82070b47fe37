"""`postscan cancel`: an administrator cancels a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from postscan.cli.context import load_settings, local_administrator, open_engine
from postscan.core.errors import JobNotFound, PostscanError

if TYPE_CHECKING:
    from postscan.core.engine import Engine
    from postscan.core.model.job import Job
    from postscan.core.model.principal import Principal


def cancel(context: typer.Context, token: str) -> None:
    """Cancel any job, as an administrator.

    The cancel is stored at once and survives a crash; a running server sees it within a quarter of a second and
    stops the job's filters. Waits for that for `running.cancel_answer_seconds`, and then prints the state: `Canceled`,
    or `Terminating` while filters are still stopping. Documents delivered before the cancel remain.

    \b
    Example:
      postscan cancel 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935

    \b
    Exit codes:
      0  the cancel is stored: the job is Canceled, or will be
      1  there is no such job, or it has already ended
    """
    me = local_administrator()
    with open_engine(load_settings(context)) as engine:
        job = _cancel(engine, token, me)
    typer.echo(str(job.state) if job.state.ended else f"{job.state}: filters are stopping")


def _cancel(engine: Engine, token: str, me: Principal) -> Job:
    """Cancel and wait briefly; raise `PostscanError` with the state of a job that has already ended."""
    try:
        return engine.service.cancel(token, me)
    except JobNotFound:
        try:
            state = engine.service.job(token, me).state
        except JobNotFound:
            raise PostscanError(f"there is no job {token!r}; see: postscan jobs list --all") from None
        raise PostscanError(f"job {token} has already ended: it is {state}") from None
