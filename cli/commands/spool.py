"""`postscan spool`: which spool belongs to the database."""

from __future__ import annotations

from typing import Annotated

import typer

from postscan.cli.context import load_settings, open_engine
from postscan.cli.output import terminal
from postscan.core.errors import PostscanError

app = typer.Typer(no_args_is_help=True, help="Show and set which spool belongs to the database.")


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
