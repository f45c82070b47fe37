"""A scan process that was made of options, and changed while the server runs: what a device scans is delivered."""

from __future__ import annotations

import subprocess
from pathlib import Path

import commands
from acceptance.server import SHARE, Server

from postscan.core.model.formats import test_page

SID = "S-1-5-21-1-2-3-1077"
AT_ONCE = "the running server uses it for new jobs at once"


def postscan(server: Server, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command with the settings of the server; it must succeed."""
    done = commands.run(["--config", str(server.home / "postscan.toml"), *map(str, arguments)], timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def test_a_process_made_of_options_alone_delivers(server: Server, tmp_path: Path) -> None:
    """I20: the page lies on the share, in the user's folder, and the next job has what an edit has changed."""
    page = tmp_path / "page.png"
    page.write_bytes(test_page.png(1))
    made = postscan(server, "process", "new", "--name", "Made", "--filter", "fileshare", "--share", SHARE)
    process = made.stdout.strip()

    def send() -> list[str]:
        """Send the page through the process, as a device; return the root names of the new files."""
        before = set(server.share.glob(f"{SID}/*"))
        postscan(server, "send", page, "--process", process, "--user", SID, "--url", server.url)
        new = set(server.share.glob(f"{SID}/*")) - before
        assert [file.read_bytes() for file in new] == [page.read_bytes()]
        return [file.name.partition("_")[0] for file in new]

    first = send()
    edited = postscan(server, "process", "edit", "Made", "--root", "Letter")
    second = send()
    postscan(server, "process", "remove", "Made", "--yes")

    assert (AT_ONCE in made.stderr, AT_ONCE in edited.stdout) == (True, True)
    assert (first, second) == (["Made"], ["Letter"])
