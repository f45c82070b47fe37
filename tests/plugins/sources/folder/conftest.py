"""A running source Folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import watched_folders
from watched_folders import StartFolder, WatchedFolder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartFolder]:
    """A function that starts an inlet."""
    with watched_folders.starting(tmp_path) as start:
        yield start


@pytest.fixture
def watched(start: StartFolder) -> WatchedFolder:
    """An inlet with one destination."""
    return start()
