"""`postscan migrate`: bring the database to the newest schema, or say what it lacks."""

from __future__ import annotations

from typing import Annotated

import typer

from postscan.cli.context import load_settings
from postscan.core.errors import PostscanError


def migrate(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 if the database is behind.")] = False,
) -> None:
    """Apply the migrations that the database lacks.

    `postscan serve` does the same when it starts; this is for sites that want to do it by hand, and to look first.

    \b
    Examples:
      postscan migrate --check
      postscan migrate

    \b
    Exit codes:
      0  the database is up to date now
      1  with --check: it is behind
    """
    from postscan import migrations

    storage = load_settings(context).storage
    if check:
        behind = migrations.check(storage.url, busy_seconds=storage.busy_seconds)
        if behind:
            raise PostscanError(f"the database lacks {', '.join(behind)}; run: postscan migrate")
        typer.echo("the database is up to date")
        return
    applied = migrations.upgrade(storage.url, busy_seconds=storage.busy_seconds)
    for revision in applied:
        typer.echo(f"applied {revision}")
    if not applied:
        typer.echo("the database is up to date")
