"""The conformance page: it is made from the checklists and from the markers of the tests."""

from __future__ import annotations

import runpy
from typing import Any

import pytest
from documents import ROOT, page

TOOL = ROOT / "tools" / "conformance_page.py"


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    """What makes the page."""
    return runpy.run_path(str(TOOL))


def test_the_page_is_what_the_checklists_and_the_tests_say(tool: dict[str, Any]) -> None:
    """It is generated: python tools/conformance_page.py > docs/conformance.md."""
    assert page("docs/conformance.md") == tool["page"]()


def test_every_line_that_binds_postscan_is_shown_by_a_test(tool: dict[str, Any]) -> None:
    """All but those of a part that is openly not built yet."""
    assert tool["untested"](tool["checklists"](), tool["marked_tests"]()) == []


def test_no_marker_names_a_line_that_is_not_there(tool: dict[str, Any]) -> None:
    """A slip of the pen would leave the right line without its test."""
    lines = {line.id for lines in tool["checklists"]().lines.values() for line in lines}

    assert set(tool["marked_tests"]()) - lines == set()


def test_what_is_kept_differently_has_a_test_of_what_is_done_instead(tool: dict[str, Any]) -> None:
    """A deviation is a decision, and not an excuse."""
    lists, tests = tool["checklists"](), tool["marked_tests"]()

    assert [id for id in lists.deviations if id not in tests] == []
    assert [id for id in lists.later if id in tests or id in lists.deviations] == []
