"""Plugins written for older versions: unchanged, they pass their own tests with this version and can be used.

`tests/fixtures/v0_1/README.md` says where they come from.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from elsewhere import Elsewhere

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

V0_1 = Path(__file__).parent.parent / "fixtures" / "v0_1"


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """An environment with this version, the package of `postscan plugin new`, and the example."""
    author = Elsewhere(tmp_path_factory, "author")
    for package in ("plugin", "blank-pages"):
        shutil.copytree(V0_1 / package, author.home / package)
    author.install("./plugin[test]", "./blank-pages[test]")
    return author


@pytest.mark.parametrize(("package", "number"), [("plugin", 5), ("blank-pages", 6)])
def test_an_older_package_passes_its_own_tests(author: Elsewhere, package: str, number: int) -> None:
    """Its contract with postscan included; none is skipped."""
    printed = author.do("pytest", "-q", "-W", "error", folder=author.home / package)

    assert re.search(rf"^{number} passed in ", printed, re.MULTILINE), printed


def test_older_plugins_are_ready_beside_the_shipped_filters(author: Elsewhere) -> None:
    """Their entry points are found, and the version of the plugin interface that they were written for is accepted."""
    rows = [line.split()[:4] for line in author.do("postscan", "plugin", "list").splitlines()]

    assert ["acme-letter", "0.1.0", "acme-letter", "ready"] in rows
    assert ["blank-pages", "1.0", "postscan-blank-pages", "ready"] in rows


def test_the_check_finds_no_defect_in_an_older_plugin(author: Elsewhere) -> None:
    """With the settings that the package brings; they name a folder of the machine on which it was written."""
    settings = author.home / "plugin" / "try" / "postscan.toml"
    out = author.home / "plugin" / "try" / "out"
    out.mkdir()
    written = settings.read_text()
    settings.write_text(written.replace('"/srv/scan/acme-letter/try/out"', f'"{out}"'))
    printed = author.do("postscan", "--config", str(settings), "plugin", "check", "acme-letter")

    assert "/srv/scan/acme-letter/try/out" in written
    assert "no defects" in printed
