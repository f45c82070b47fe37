"""The fixtures of `command_line`, for the tests of the commands."""

import functools

import typer.main
import typer.testing
from command_line import page, postscan, server, settings_file

__all__ = ["page", "postscan", "server", "settings_file"]

# `CliRunner.invoke` builds all commands for each call, which takes longer than most of the tests.
typer.testing._get_command = functools.cache(typer.main.get_command)
