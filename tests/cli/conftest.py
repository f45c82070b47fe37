"""The fixtures of `command_line`, for the tests of the commands."""

import functools
from pathlib import Path

import databases
import pytest
import typer.main
import typer.testing
from command_line import page, postscan, server
from command_line import settings_file as new_settings

__all__ = ["new_settings", "page", "postscan", "server"]

# `CliRunner.invoke` builds all commands for each call, which takes longer than most of the tests.
typer.testing._get_command = functools.cache(typer.main.get_command)


@pytest.fixture
def settings_file(new_settings: Path) -> Path:
    """Settings with a database that has its tables: the first command would take long to make them."""
    databases.migrated(f"sqlite:///{new_settings.parent / 'data' / 'postscan.sqlite'}")
    return new_settings
