"""Files of a watched folder through a whole server: each is one job, whenever server and source are killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import messages
import pytest
from acceptance.scanning import instructions
from acceptance.server import Server, none_alive
from plugin_names import unused
from watched_folders import png
from works import SID, until

PROCESS = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that is watched."""
    path = tmp_path / "watched"
    path.mkdir()
    return path


@pytest.fixture
def server(tmp_path: Path, folder: Path) -> Iterator[Server]:
    """A server with one destination and an inlet, which is not started."""
    home = tmp_path / "home"
    home.mkdir()
    settings = {
        "plugins": {"disabled": unused("fileshare", "folder")},
        "destinations.invoices": {"label": "Invoices", "process": PROCESS, "user": SID},
        "sources.scans": {"plugin": "folder", "folder": str(folder), "quiet_seconds": 0.2},
    }
    server = Server(home, settings)
    xml = messages.PROCESS.replace(messages.INSTRUCTIONS, instructions("copy"))
    server.processes.add(xml.encode(), display_name="Invoices", users=(), identifier=PROCESS)
    try:
        yield server
    finally:
        server.close()
    assert server.tracebacks() == []


def images(server: Server, *states: str) -> list[str]:
    """Return the SHA-256 of every image of the jobs in these states."""
    query = "select state, sha256 from job join document on document.token = job.token"
    with contextlib.closing(sqlite3.connect(server.settings.storage.data_dir / "postscan.sqlite")) as database:
        return sorted(sha256 for state, sha256 in database.execute(query) if state in states)


def digests(*pages: bytes) -> list[str]:
    """Return the SHA-256 of pages."""
    return sorted(hashlib.sha256(page).hexdigest() for page in pages)


def kill(server: Server, victim: str) -> None:
    """Kill the server and start the next one, or kill the source, which the server starts again."""
    if victim == "source":
        os.kill(server.source("scans"), signal.SIGKILL)
        return
    family = server.family()
    server.kill()
    until(lambda: none_alive(family), "the server is gone")
    server.start()


def test_a_file_is_processed_for_the_user_of_its_destination(server: Server, folder: Path) -> None:
    """And removed; a half is left where it is."""
    server.start()
    (folder / "half.png").write_bytes(png(2)[:-9])
    (folder / "scan.png").write_bytes(png(1))
    until(lambda: images(server, "Completed") == digests(png(1)), "it is completed")
    until(lambda: not (folder / "scan.png").exists(), "it is removed")

    assert [path.name for path in folder.iterdir()] == ["half.png"]
    with contextlib.closing(sqlite3.connect(server.settings.storage.data_dir / "postscan.sqlite")) as database:
        assert database.execute("select owner, user_sid from job").fetchall() == [(f"source:scans:{folder}", SID)]


@pytest.mark.parametrize(("victim", "kills"), [("server", 6), ("source", 4)])
def test_each_file_is_one_job_whatever_is_killed(server: Server, folder: Path, victim: str, kills: int) -> None:
    """By SIGKILL, at any moment after a file has come; nothing is left in the work folders. Five are a quarantine."""
    chosen = random.Random(victim)
    pages = [png(number) for number in range(3 * kills)]
    server.start()
    for number, page in enumerate(pages):
        (folder / f"{number}.png").write_bytes(page)
        if number % 3 == 2:
            server.source("scans")
            time.sleep(chosen.uniform(0.1, 0.8))
            kill(server, victim)
    until(lambda: not list(folder.iterdir()), "all files are removed", 120.0)
    until(lambda: len(images(server, "Completed")) >= len(pages), "all jobs are completed")

    assert images(server, "Completed", "Pending", "Processing", "Creating") == digests(*pages)
    assert list(server.settings.storage.run_dir.rglob("file-*")) == []
