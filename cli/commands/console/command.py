"""`postscan console`: run the console; links and tokens for it."""

from __future__ import annotations

import typer

from postscan.cli.commands.console import tokens
from postscan.cli.commands.console.link import link
from postscan.cli.commands.console.run import console

app = typer.Typer(invoke_without_command=True, callback=console)
app.command()(link)
app.add_typer(tokens.app, name="token")
