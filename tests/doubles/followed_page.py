"""A page of the manual that connects scanners, followed in a folder with a server of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from documents import blocks
from free_ports import free_port
from page_shell import PageShell, ShownCommand
from plugin_names import unused
from watched_folders import png
from works import SID, until

PROCESS: Final = "6E0C2B5D-8F14-4A39-B7D2-51C9E3A08F46"
LATEST: Final = 180.0
"""Seconds until all jobs have ended."""


class FollowedPage:
    """What the commands of *page* did, and what came of the scans; the files of the jobs are in `out`.

    *sources* are the plugins that the page needs, *replaced* is what stands for its addresses, ports and paths.
    """

    def __init__(self, page: str, home: Path, sources: tuple[str, ...], replaced: Mapping[str, str]) -> None:
        self.page = page
        self.home = home
        self.out = home / "out"
        self.out.mkdir()
        (home / "page.png").write_bytes(png())
        (process,) = blocks("docs/first-scan.md", "xml")
        (home / "letters.xml").write_text(process)
        settings = home / "postscan.toml"
        settings.write_text(_settings(self.out, unused("fileshare", "pdf", *sources)))
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "POSTSCAN"))}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
        self.shell = PageShell(
            home,
            {**environment, "PATH": path, "POSTSCAN_CONFIG": "postscan.toml"},
            {**replaced, "/etc/postscan.toml": str(settings)},
        )
        self.commands: list[ShownCommand] = []

    def follow(self) -> None:
        """Run the commands of the page; start the server where the page says so."""
        self.shell.run(f"postscan process add letters.xml --name Letters --id {PROCESS}")
        for command in self.shell.follow(self.page):
            self.commands.append(command)
            if command.command == "postscan destinations check":
                self.shell.run("postscan serve 2>server.log &")

    def jobs(self, number: int) -> list[dict[str, Any]]:
        """Return all jobs, each with its origin, when so many have ended."""
        tokens: list[str] = []

        def are_ended() -> bool:
            listed = self._read("postscan jobs list --all --json")
            tokens[:] = [job["token"] for job in listed]
            return len(listed) >= number and all(job["completed"] for job in listed)

        until(are_ended, "all jobs have ended", LATEST)
        return [self._read(f"postscan jobs show {token} --json") for token in tokens]

    def _read(self, command: str) -> Any:
        """Return what a command prints, in a file: programs in the background may print into the shell meanwhile."""
        self.shell.run(f"{command} > printed.json")
        return json.loads((self.home / "printed.json").read_text())


def _settings(out: Path, disabled: list[str]) -> str:
    """Return the settings that the page adds to."""
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
'\\files\scans' = {json.dumps(str(out))}

[users."{SID}"]
name = "ann@fabrikam.example"
""".lstrip()
