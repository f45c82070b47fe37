"""`postscan migrate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result


@pytest.fixture
def settings_file(new_settings: Path) -> Path:
    """Settings without any data."""
    return new_settings


def test_a_new_database_is_behind_until_it_is_migrated(postscan: Callable[..., Result]) -> None:
    """--check says so with exit code 1; migrate names what it applied; then there is nothing left to do."""
    before = postscan("migrate", "--check")
    migrated = postscan("migrate")
    after = postscan("migrate", "--check")

    assert before.exit_code == 1
    assert "the database lacks" in before.stderr
    assert migrated.exit_code == 0
    assert migrated.stdout.startswith("applied ")
    assert (after.exit_code, after.stdout) == (0, "the database is up to date\n")


def test_migrating_twice_changes_nothing(postscan: Callable[..., Result]) -> None:
    """The second time there is nothing to apply."""
    postscan("migrate")
    again = postscan("migrate")

    assert (again.exit_code, again.stdout) == (0, "the database is up to date\n")
