"""The commands of `postscan`; an expected error is printed as one line and gives exit code 1."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from postscan.cli.command_table import CommandTable
from postscan.cli.output import exit_codes, terminal
from postscan.core.errors import PostscanError


class Commands(typer.core.TyperGroup):
    """The group of all commands; each is built when it is needed."""

    def __init__(self, **about: Any) -> None:
        super().__init__(**about)
        self.commands = CommandTable()

    def invoke(self, ctx: Any) -> Any:
        """Run the command; print expected errors on stderr and exit with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of a pipe has closed it; typer exits without a message
            raise
        except (PostscanError, OSError) as error:
            for line in _sentence(error).splitlines():
                typer.echo(f"postscan: {terminal.plain(line)}", err=True)
            raise typer.Exit(exit_codes.ERROR) from None


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: the same on a terminal, in a pipe and as a man page
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"postscan {importlib.metadata.version('postscan')}")
        raise typer.Exit


@app.callback()
def postscan(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", envvar="POSTSCAN_CONFIG", help="Settings file (TOML); default: the default settings."
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A scan server, and a framework for post-scan filters.

    Network scanners create jobs, send their images and end or cancel the job; the server runs the job's filters.
    `postscan demo` shows all of it in about a minute.
    """
    context.obj = config


cli = typer.main.get_command(app)
"""All commands. The group is built once; calling `app` builds it for each call."""
