"""Plugins that the commands list, explain and disable."""

from __future__ import annotations

from pathlib import Path

import documents
import pytest
from described_plugins import FEW, HAMPER, Install


@pytest.fixture
def few_plugins(settings_file: Path) -> None:
    """The test's own settings, with two of our own plugins: whoever lists or explains plugins loads all of them."""
    settings_file.write_text(f"{settings_file.read_text()}[plugins]\n{FEW}")


@pytest.fixture
def install(site_packages: Path, few_plugins: None) -> Install:
    """Install plugins beside the few: each a name and its code; of filters, unless the group of a source is given."""

    def put(name: str, code: str, group: str = "postscan.filters", entry_point: str = "") -> None:
        documents.install(site_packages, f"{name}_module", code, entry_point or name, group)

    return put


@pytest.fixture
def hamper(install: Install) -> None:
    """A source that is installed."""
    install("hamper", HAMPER, "postscan.sources")
