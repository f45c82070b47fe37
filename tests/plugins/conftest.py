"""What the tests of several filters share: a file server, pages, and a destination."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from destinations import open_folder
from samba import Samba, samba
from smb_runs import SHARES, empty

from postscan.core.filters.cancellation import CancellationToken
from postscan.core.model.formats.test_page import png
from postscan.plugins.filters.fileshare import smb
from postscan.plugins.testing import runner


@pytest.fixture(scope="session")
def _file_server() -> Iterator[Samba]:
    with open_folder() as home, samba(home, SHARES, host_msdfs="yes") as server:
        yield server


@pytest.fixture
def server(_file_server: Samba, monkeypatch: pytest.MonkeyPatch) -> Iterator[Samba]:
    """A file server with empty shares; and what is tried again over SMB is so at once."""
    pytest.importorskip("smbprotocol", reason="file shares over SMB need the extra [smb]")
    monkeypatch.setattr(smb, "PAUSES", (0.05, 0.1, 0.2, 0.4))
    yield _file_server
    for folder in _file_server.shares.values():
        empty(folder)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses in seconds between the attempts of a filter in this process: recorded, and not waited for."""
    seconds: list[float] = []

    def wait(token: CancellationToken, pause: float) -> bool:
        seconds.append(round(pause, 3))
        return token.cancelled

    monkeypatch.setattr(runner._CancelAt, "wait", wait)
    return seconds


@pytest.fixture
def two_pages(tmp_path: Path) -> list[Path]:
    """Two pages, of bytes that mean nothing."""
    paths = [tmp_path / "page.png", tmp_path / "page.tif"]
    for path in paths:
        path.write_bytes(os.urandom(5000))
    return paths


@pytest.fixture
def pages(tmp_path: Path) -> list[Path]:
    """Two small pages, of pictures."""
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for number, path in enumerate(paths, start=1):
        path.write_bytes(png(number, 62, 88))
    return paths


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A destination."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder
