"""The command line with settings of the test's own, and a scripted server for the simulated device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted import Script, listening
from typer.testing import CliRunner, Result

from postscan.cli.app import app

PNG = b"\x89PNG\r\n\x1a\n" + b"not a picture, but it begins like one"


@pytest.fixture
def server() -> Iterator[Script]:
    """A server on a loopback port that follows its script."""
    with listening() as script:
        yield script


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    """Settings whose data lies in a folder of the test's own."""
    path = tmp_path / "postscan.toml"
    path.write_text('[storage]\ndata_dir = "data"\n')
    return path


@pytest.fixture
def postscan(settings_file: Path) -> Callable[..., Result]:
    """Run the command line with the test's own settings."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["--config", str(settings_file), *map(str, arguments)])

    return run


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A file that looks like a PNG."""
    path = tmp_path / "page.png"
    path.write_bytes(PNG)
    return path
