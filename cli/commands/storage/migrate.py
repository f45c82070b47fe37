"""`postscan migrate`: apply missing migrations, or list them."""

from __future__ import annotations

from typing import Annotated

import typer

from postscan.cli.context import load_settings
from postscan.core.errors import PostscanError


def migrate(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with 1 if migrations are missing.")
    ] = False,
) -> None:
    """Apply the migrations that are missing in the database.

    `postscan serve` does the same when it starts. This command does it separately, and can check first.

    \b
    Examples:
      postscan migrate --check
      postscan migrate

    \b
    Exit codes:
      0  the database is up to date
      1  with --check: migrations are missing
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
