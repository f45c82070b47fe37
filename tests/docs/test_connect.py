"""The page for those who connect a scanner: its settings and commands, with a server, smbd and clients."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import samba
from certificates import Authority
from destinations import open_folder
from documents import blocks
from page_shell import PageShell, ShownCommand
from plugin_names import unused
from watched_folders import png
from works import SID, until

pikepdf = pytest.importorskip("pikepdf", reason="the pdf filter needs the extra [pdf]")

PAGE = "docs/connect-your-scanner.md"
PROCESS = "6E0C2B5D-8F14-4A39-B7D2-51C9E3A08F46"
LATEST = 180.0
"""Seconds until all jobs have ended."""

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]


class ConnectedScanners:
    """The page, followed in a folder: what its commands did, and what came of what they sent."""

    def __init__(self, home: Path, share: samba.Samba) -> None:
        self.home = home
        self.out = home / "out"
        self.out.mkdir()
        (home / "page.png").write_bytes(png())
        (process,) = blocks("docs/first-scan.md", "xml")
        (home / "letters.xml").write_text(process)
        authority = Authority("Fabrikam scan CA")
        authority.write(home, "ca")
        authority.server().write(home, "scans")
        (home / "postscan.toml").write_text(self._settings())
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "POSTSCAN"))}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
        self.shell = PageShell(
            home, {**environment, "PATH": path, "POSTSCAN_CONFIG": "postscan.toml"}, self._replaced(share)
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
        """Return all jobs when they have ended, each with its origin."""
        tokens: list[str] = []

        def are_ended() -> bool:
            listed = json.loads(self.shell.run("postscan jobs list --all --json"))
            tokens[:] = [job["token"] for job in listed]
            return len(listed) >= 7 and all(job["completed"] for job in listed)

        until(are_ended, "all jobs have ended", LATEST)
        return [json.loads(self.shell.run(f"postscan jobs show {token} --json")) for token in tokens]

    def _replaced(self, share: samba.Samba) -> dict[str, str]:
        """Return what stands for the addresses, ports, paths and passwords of the page."""
        return {
            "//scans.fabrikam.example/scans": f"//127.0.0.1/scans --port {share.port}",
            "scans.fabrikam.example": "127.0.0.1",
            "scanner%PASSWORD": f"{share.user}%{samba.PASSWORD}",
            "/srv/scans": str(share.shares["scans"]),
            "/etc/samba/smb.conf": str(self.home / "smb.conf"),
            "/etc/postscan.toml": str(self.home / "postscan.toml"),
            "/etc/postscan/": f"{self.home}/",
            "10.0.0.0/24": "127.0.0.0/8",
            "0.0.0.0": "127.0.0.1",
            **{port: str(samba.free_port()) for port in ("2525", "2121", "8480")},
        }

    def _settings(self) -> str:
        """Return the settings that the page adds to."""
        disabled = unused("fileshare", "pdf", "folder", "ftp", "smtp", "web")
        return rf"""
[server]
port = {samba.free_port()}

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
def scanners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectedScanners]:
    """The page, followed once; its server runs on."""
    with open_folder() as place, samba.documented(place) as share:
        scanners = ConnectedScanners(tmp_path_factory.mktemp("connect"), share)
        with contextlib.closing(scanners.shell):
            scanners.follow()
            yield scanners


def test_every_command_of_the_page_ends_well(scanners: ConnectedScanners) -> None:
    """The clients that it names included: curl, smbclient, testparm."""
    assert [(one.command, one.code, one.output) for one in scanners.commands if one.code] == []
    assert len(scanners.commands) >= 16


def test_every_output_that_the_page_shows_is_true(scanners: ConnectedScanners) -> None:
    """Each inlet is ready, among others."""
    assert [(one.command, one.missing, one.output) for one in scanners.commands if one.missing] == []


def test_every_scan_of_the_page_is_a_pdf_of_its_user(scanners: ConnectedScanners) -> None:
    """Once by address and once by account for each protocol, and one through the share."""
    jobs = scanners.jobs()
    sent = Counter((job["origin"]["source"], job["origin"]["proof"]) for job in jobs)
    files = [path for path in scanners.out.rglob("*") if path.is_file()]

    assert sent == {
        **{(name, proof): 1 for name in ("mail", "ftp", "web") for proof in ("device", "password")},
        ("share", "local"): 1,
    }
    assert {(job["state"], job["user"]["sid"]) for job in jobs} == {("Completed", SID)}
    assert len(files) == len(jobs)
    assert {path.parent.name for path in files} == {"ann@fabrikam.example"}
    for path in files:
        with pikepdf.open(io.BytesIO(path.read_bytes())) as pdf:
            assert len(pdf.pages) == 1
