"""Files of 64 MB that become jobs by FTP, beside pyftpdlib that stores each and syncs it. In turn, in one run.

The kinds differ: whether a PDF or a TIFF is whole shows in a few places; a JPEG and a PNG are read to their ends.
"""

from __future__ import annotations

import ftplib
import io
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import inlets, scans, servers
from bench.bare_inlets import USER
from bench.inlets import Round

ROUNDS: Final = {1: 15, 64: 9}
"""Rounds of each kind of file by its size in MiB."""

PATIENCE: Final = 600.0
_BLOCK: Final = 1 << 20

_numbers = itertools.count(1)


def run() -> None:
    """Measure and print."""
    for mebibytes, rounds in ROUNDS.items():
        for kind in scans.KINDS:
            content = scans.scan(kind, mebibytes << 20)
            with servers.folder() as folder:
                found = measured(folder, content, rounds)
            megabytes = len(content) / 1e6
            inlets.print_rounds(f"uploads of {kind}, {megabytes:.1f} MB", megabytes, "MB", found)


def measured(folder: Path, content: bytes, rounds: int) -> dict[str, list[Round]]:
    """Return the rounds of both servers; raise `AssertionError` unless every acknowledged file is a stored job."""
    found: dict[str, list[Round]] = {"postscan": [], "bare": []}
    to_ours = uploader("anonymous", f"/{inlets.LABEL}", content)
    to_bare = uploader(USER, "", content)
    first = uploader("anonymous", f"/{inlets.LABEL}", inlets.picture(b"first"))
    with inlets.postscan(folder, "ftp", first) as ours, inlets.bare(folder, "ftp") as bare:
        for _ in range(rounds):
            found["postscan"].append(ours.measure(to_ours))
            found["bare"].append(bare.measure(to_bare))
            for file in (folder / "bare").iterdir():
                file.unlink()
        inlets.check_jobs(folder, 1 + rounds)
    return found


def uploader(user: str, directory: str, content: bytes) -> Callable[[int], list[float]]:
    """Return what uploads this content under a new name, and returns the seconds from STOR to its 226."""

    def upload(port: int) -> list[float]:
        with ftplib.FTP(timeout=PATIENCE) as client:
            client.connect("127.0.0.1", port)
            client.login(user, user)
            begun = time.perf_counter()
            client.storbinary(f"STOR {directory}/{next(_numbers)}.png", io.BytesIO(content), _BLOCK)
            return [time.perf_counter() - begun]

    return upload
