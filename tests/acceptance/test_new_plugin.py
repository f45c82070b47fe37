"""A new author of a filter: everything that the README of a new package says."""

from __future__ import annotations

import re

import pytest
from author import PAGE, Author, Step, listed, step
from elsewhere import Elsewhere

pytestmark = [pytest.mark.services, pytest.mark.timeout(1500)]


@pytest.fixture(scope="session")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    """All that the README says to do, done."""
    author = Author(Elsewhere(tmp_path_factory, "author"))
    author.prepare()
    return author.read()


def test_every_command_of_the_readme_ends_as_it_says(steps: list[Step]) -> None:
    """All go well, and the cancelled job has the exit code 3."""
    cancelled = step(steps, "postscan send", last=True)

    assert cancelled.code == 3, cancelled.output
    assert [(one.command, one.output) for one in steps if one.code and one is not cancelled] == []


def test_every_output_that_the_readme_shows_is_true(steps: list[Step]) -> None:
    """Line by line, but for the times and the width of the columns."""
    assert sum(len(one.promised) for one in steps) >= 4
    assert [(one.untrue, one.output) for one in steps if one.untrue] == []


def test_the_new_plugin_is_ready_when_it_is_installed(steps: list[Step]) -> None:
    """With the distribution that brings it, and nothing lacking."""
    assert listed(steps) == "acme-letter 0.1.0 acme-letter ready urn:example:acme-letter Acme letter"


def test_the_new_package_passes_its_own_tests(steps: list[Step]) -> None:
    """The cancel test included; none is skipped."""
    assert re.search(r"^=+ 5 passed in .*=$", step(steps, "make test").output, re.MULTILINE)


def test_its_first_job_delivers_every_page(steps: list[Step]) -> None:
    """As they were sent, with the word that the scan process chose."""
    files = step(steps, "postscan send").files

    assert [file.read_bytes() for file in files] == [PAGE] * 3
    assert all(re.fullmatch(r"Page_S-1-5-21-1-2-3-1001_\d{8}-\d{6}_00[123]-checked\.png", file.name) for file in files)


def test_its_cancelled_job_delivers_nothing(steps: list[Step]) -> None:
    """The filter was waiting before its first page, and stopped there."""
    before, after = (step(steps, command, last=True).files for command in ("postscan plugin check", "postscan send"))

    assert after == before


def test_the_check_finds_nothing_wrong_with_it(steps: list[Step]) -> None:
    """What authors begin with keeps every promise."""
    checked = step(steps, "postscan plugin check")

    assert checked.code == 0, checked.output
