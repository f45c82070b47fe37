"""A new author of a source: everything that the README of a new package says."""

from __future__ import annotations

import re

import pytest
from author import Author, Step, listed, step
from elsewhere import Elsewhere

pytestmark = [pytest.mark.services, pytest.mark.timeout(1500)]


@pytest.fixture(scope="session")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    """All that the README says to do, done."""
    author = Author(Elsewhere(tmp_path_factory, "author-of-a-source"))
    author.prepare("--source")
    return author.read()


def test_every_command_of_the_readme_ends_well(steps: list[Step]) -> None:
    """Installed, tested and checked as it was written."""
    assert [(one.command, one.output) for one in steps if one.code] == []


def test_every_output_that_the_readme_shows_is_true(steps: list[Step]) -> None:
    """Line by line, but for the width of the columns."""
    assert sum(len(one.promised) for one in steps) >= 2
    assert [(one.untrue, one.output) for one in steps if one.untrue] == []


def test_the_new_source_is_ready_when_it_is_installed(steps: list[Step]) -> None:
    """With the distribution that brings it, and nothing lacking."""
    assert listed(steps) == "acme-letter 0.1.0 acme-letter ready (source) Acme letter"


def test_the_new_package_passes_its_own_tests(steps: list[Step]) -> None:
    """The contract test included; none is skipped."""
    assert re.search(r"^=+ 3 passed in .*=$", step(steps, "make test").output, re.MULTILINE)
