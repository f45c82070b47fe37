"""The page about the API: its table has the operations, and its problems those that there are; its commands run."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import databases
import pytest
from conftest import ANNA, AnyProcess
from documents import page
from page_shell import PageShell
from works import SID, instructions, until

from postscan.console.api.operations import BASE
from postscan.console.api.problems import KINDS
from postscan.console.api.table import OPERATIONS
from postscan.core.engine import Engine
from postscan.core.settings import load

PAGE = "docs/api.md"


def test_the_page_has_each_operation_and_each_problem() -> None:
    listed = re.findall(r"^\| `(GET|POST) (/[^`]*)` \|", page(PAGE), re.MULTILINE)
    problems = re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", page(PAGE), re.MULTILINE)

    assert sorted(listed) == sorted([*((one.method, one.path) for one in OPERATIONS), ("GET", "/openapi.json")])
    assert [(kind.name, str(kind.status)) for kind in KINDS] == problems


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[PageShell]:
    """A shell beside a console, whose database has a job that waits."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "postscan.toml").write_text(f'[storage]\ndata_dir = "data"\n\n[console]\nport = {port}\n')
    settings = load(tmp_path / "postscan.toml")
    databases.migrated(settings.storage.url)
    core = Engine(settings, AnyProcess())
    token = core.service.create(ANNA, SID, "P", instructions("copy"))
    with core.service.open_image(token, ANNA, 1, "png") as image:
        image.write(b"x")
    core.service.end(token, ANNA)
    core.close()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "POSTSCAN_CONFIG": "postscan.toml"}
    one = PageShell(tmp_path, environment, {"127.0.0.1:5363": f"127.0.0.1:{port}"})
    try:
        one.run("postscan console >url 2>log &")
        until(lambda: (tmp_path / "url").read_text(), "for the console")
        yield one
    finally:
        one.close()


@pytest.mark.services
def test_the_commands_of_the_page_print_what_it_shows(shell: PageShell) -> None:
    """With curl, as a reader would; the job is canceled at the end."""
    commands = list(shell.follow(PAGE))

    assert [(one.command, one.output) for one in commands if one.code or one.missing] == []
    assert BASE in commands[-1].command
    assert '"state": "Canceled"' in shell.run("postscan jobs list --all --json")
