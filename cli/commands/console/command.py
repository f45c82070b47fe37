"""`postscan console`: its commands."""

from __future__ import annotations

import typer

from postscan.cli.commands.console import tokens
from postscan.cli.commands.console.link import link

app = typer.Typer(no_args_is_help=True, help="Sign in at the console, and manage the tokens of its API.")
app.command()(link)
app.add_typer(tokens.app, name="token")
