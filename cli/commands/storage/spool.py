"""`postscan spool`: what it keeps of each caller, and which spool belongs to the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from postscan.cli.context import load_settings, local_administrator, open_engine
from postscan.cli.options import Json
from postscan.cli.output import terminal, views
from postscan.core.errors import PostscanError

if TYPE_CHECKING:
    from postscan.core.service.administration.callers import SpoolShare

COLUMNS: Final = ("CALLER", "DOCUMENTS", "LOGS", "OF", "SHARE")

app = typer.Typer(no_args_is_help=True, help="Show what the spool keeps, and set which spool belongs to the database.")


@app.command()
def usage(context: typer.Context, json: Json = False) -> None:
    """List each caller's share of the spool.

    DOCUMENTS are the bytes of its images and of what filters made of them, LOGS those of the logs of its jobs. Images
    are refused from SHARE 100% on, `limits.caller_bytes`. What is being written now, and the folders of filters that
    run, count as well and are not listed.

    \b
    Examples:
      postscan spool usage
      postscan spool usage --json | jq '.[] | select(.share > 0.9) | .caller'
    """
    with open_engine(load_settings(context)) as engine:
        shares = engine.callers.shares(local_administrator())
    if json:
        typer.echo(views.as_json([_record(one) for one in shares]))
    elif shares:
        terminal.console().print(terminal.table(COLUMNS, map(_row, shares)))
    else:
        typer.echo("the spool keeps no document")


@app.command()
def adopt(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with 1 if a server would refuse this spool.")
    ] = False,
) -> None:
    """Let this spool be that of the database, whatever they were before.

    Spool and database have an identifier in common. A server does not start with a spool that is not that of its
    database: its open jobs would be aborted for want of their files, and the files of the spool put aside. First look
    whether the spool is mounted and whether the settings name the right database. Adopt the spool if it was lost, or
    if the database was replaced by one that is not a copy of it.

    Prints how the two differ, and what the next server does about it.

    \b
    Examples:
      postscan spool adopt --check
      postscan spool adopt

    \b
    Exit codes:
      0  the spool is that of the database
      1  with --check: it is not; or a server is running
    """
    with open_engine(load_settings(context)) as engine:
        refusal = engine.spool_refusal()
        if refusal is None:
            typer.echo("the spool is that of the database")
            return
        found = engine.compare_spool()
        typer.echo(f"open jobs with a missing file: {len(found.damaged)}; the next server aborts them")
        typer.echo(f"files of no job: {len(found.unknown)}; the next server puts them aside")
        if check:
            raise PostscanError(f"{refusal}; to use it: postscan spool adopt")
        engine.adopt_spool()
    typer.echo(terminal.plain(f"adopted; before, {refusal}"))


def _record(one: SpoolShare) -> dict[str, Any]:
    """Return a share as plain values; sizes in bytes."""
    return {
        "caller": one.owner,
        "documents": one.documents,
        "logs": one.logs,
        "most": one.most,
        "share": round(one.used / one.most, 4),
    }


def _row(one: SpoolShare) -> tuple[str, ...]:
    return (one.owner, f"{one.documents:,}", f"{one.logs:,}", f"{one.most:,}", f"{one.used / one.most:.0%}")
