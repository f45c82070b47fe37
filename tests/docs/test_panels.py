"""The page on panels: its settings and commands, with a server, and simulated scanners in place of the devices."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documents import blocks
from free_ports import free_port
from page_shell import PageShell, ShownCommand
from plugin_names import unused
from watched_folders import png
from works import SID, until

pikepdf = pytest.importorskip("pikepdf", reason="the pdf filter needs the extra [pdf]")

PAGE = "docs/panels.md"
PROCESS = "6E0C2B5D-8F14-4A39-B7D2-51C9E3A08F46"
LATEST = 180.0
"""Seconds until all jobs have ended."""

pytestmark = pytest.mark.timeout(900)


class Panels:
    """The page, followed in a folder: what its commands did, and what came of the scans."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.out = home / "out"
        self.out.mkdir()
        (home / "page.png").write_bytes(png())
        (process,) = blocks("docs/first-scan.md", "xml")
        (home / "letters.xml").write_text(process)
        (home / "postscan.toml").write_text(self._settings())
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "POSTSCAN"))}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.shell = PageShell(
            home, {**environment, "PATH": path, "POSTSCAN_CONFIG": "postscan.toml"}, self._replaced()
        )
        self.commands: list[ShownCommand] = []

    def follow(self) -> None:
        """Run the commands of the page; start the server where the page says so."""
        self.shell.run(f"postscan process add letters.xml --name Letters --id {PROCESS}")
        for command in self.shell.follow(PAGE):
            self.commands.append(command)
            if command.command == "postscan destinations check":
                self.shell.run("postscan serve 2>server.log &")

    def jobs(self) -> list[dict[str, Any]]:
        """Return the three jobs when they have ended, each with its origin."""
        tokens: list[str] = []

        def are_ended() -> bool:
            listed = json.loads(self.shell.run("postscan jobs list --all --json"))
            tokens[:] = [job["token"] for job in listed]
            return len(listed) >= 3 and all(job["completed"] for job in listed)

        until(are_ended, "all jobs have ended", LATEST)
        return [json.loads(self.shell.run(f"postscan jobs show {token} --json")) for token in tokens]

    def _replaced(self) -> dict[str, str]:
        """Return what stands for the devices of the page: a simulated scanner for each, and a port for it."""
        wsd, escl, hp = (str(free_port()) for _ in range(3))
        return {
            "http://10.0.0.9:8018/wsd": f"http://127.0.0.1:{wsd}/wsd",
            "http://10.0.0.10/eSCL": f"http://127.0.0.1:{escl}/eSCL",
            "http://10.0.0.11:8080/eSCL": f"http://127.0.0.1:{hp}/eSCL",
            "127.0.0.1:8018": f"127.0.0.1:{wsd}",
            "127.0.0.1:8080": f"127.0.0.1:{escl}",
            "127.0.0.1:8081": f"127.0.0.1:{hp}",
            "/etc/postscan.toml": str(self.home / "postscan.toml"),
        }

    def _settings(self) -> str:
        """Return the settings that the page adds to."""
        disabled = unused("fileshare", "pdf", "wsscan", "escl", "hp")
        return rf"""
[server]
port = {free_port()}

[storage]
data_dir = "data"
busy_seconds = 60

[plugins]
disabled = {json.dumps(disabled)}
probe_seconds = 60

[filters.fileshare.shares]
'\\files\scans' = {json.dumps(str(self.out))}

[users."{SID}"]
name = "ann@fabrikam.example"
""".lstrip()


@pytest.fixture(scope="module")
def panels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panels]:
    """The page, followed once; its server and its scanners run on."""
    followed = Panels(tmp_path_factory.mktemp("panels"))
    with contextlib.closing(followed.shell):
        followed.follow()
        yield followed


def test_every_command_of_the_page_ends_well(panels: Panels) -> None:
    """The simulated scanners that it starts included."""
    assert [(one.command, one.code, one.output) for one in panels.commands if one.code] == []
    assert len(panels.commands) >= 6


def test_every_output_that_the_page_shows_is_true(panels: Panels) -> None:
    """The inlets have found their scanners, among others."""
    assert [(one.command, one.missing, one.output) for one in panels.commands if one.missing] == []


def test_a_press_a_walk_up_and_a_pull_are_a_pdf_each(panels: Panels) -> None:
    """One job for each way, proven by the device, for the user of the destination."""
    jobs = panels.jobs()
    files = [path for path in panels.out.rglob("*") if path.is_file()]

    assert sorted((job["origin"]["source"], job["origin"]["proof"]) for job in jobs) == [
        ("copy-room", "device"),
        ("front-desk", "device"),
        ("home-office", "device"),
    ]
    assert {(job["state"], job["user"]["sid"]) for job in jobs} == {("Completed", SID)}
    assert len(files) == len(jobs)
    for path in files:
        with pikepdf.open(io.BytesIO(path.read_bytes())) as pdf:
            assert len(pdf.pages) == 1
