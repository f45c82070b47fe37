"""The finished plugin of `examples/`, built and tested as an outsider would: from its own folder, in a clean place."""

from __future__ import annotations

import re
import shutil

import pytest
from documents import ROOT
from elsewhere import Elsewhere

pytestmark = [pytest.mark.services, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def outsider(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """An environment with postscan and the example in it."""
    outsider = Elsewhere(tmp_path_factory, "outsider")
    shutil.copytree(ROOT / "examples" / "blank-pages", outsider.home / "blank-pages")
    outsider.install("./blank-pages[test]")
    return outsider


def test_the_example_passes_its_own_tests(outsider: Elsewhere) -> None:
    """On photographs of real pages, its contract included; none is skipped."""
    said = outsider.do("pytest", "-q", folder=outsider.home / "blank-pages")

    assert re.search(r"^6 passed in ", said, re.MULTILINE), said


def test_the_example_is_ready_beside_the_shipped_filters(outsider: Elsewhere) -> None:
    """Its entry point is found."""
    rows = [line.split() for line in outsider.do("postscan", "plugin", "list").splitlines()]

    assert [row[:4] for row in rows if row and row[0] == "blank-pages"] == [
        ["blank-pages", "1.0", "postscan-blank-pages", "ready"]
    ]


def test_the_check_finds_nothing_wrong_with_the_example(outsider: Elsewhere) -> None:
    """Twelve defects, none of them there."""
    said = outsider.do("postscan", "plugin", "check", "blank-pages")

    assert "no defects" in said
