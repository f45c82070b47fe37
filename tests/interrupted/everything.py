"""A test that holds everything that tests start, until it is interrupted: run by `test_process_guard.py`.

The name keeps pytest from collecting them with the others.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from acceptance.scanning import Scanner
from acceptance.server import running
from destinations import open_folder
from samba import samba
from works import Works

from postscan.core.settings import Settings

READY = Path(os.environ["INTERRUPTED_READY"])
SECONDS = 3600.0
"""Until a filter, and a test, ends by itself: three runs are interrupted one after the other."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with which a filter may run until the interruption."""
    return settings.model_copy(update={"running": settings.running.model_copy(update={"seconds": SECONDS})})


@pytest.mark.usefixtures("_postgres_server")
@pytest.mark.timeout(0)
def test_everything(tmp_path: Path, works: Works) -> None:
    """`postscan serve` and an engine of the tests, each with a filter and its tool at work; smbd, and PostgreSQL."""
    (tmp_path / "server").mkdir()
    tables = {"running": {"seconds": SECONDS}}
    with running(tmp_path / "server", tables) as server, open_folder() as home, samba(home, {"scans": {}}):
        server.works.await_trace(Scanner(server).start("deaf"), "deaf")
        works.await_trace(works.start("deaf"), "deaf")
        (READY / "ready").touch()
        time.sleep(SECONDS)
