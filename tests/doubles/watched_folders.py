"""A running source Folder: real folders, and the server's double behind it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import image_files
import source_server
from source_server import BroughtJob, SourceServer
from works import until

from postscan.plugins.sources.folder import FolderSource

QUIET = 0.3
"""Seconds without a change in these tests."""


@dataclass
class WatchedFolder:
    """A running inlet, and its folder."""

    path: Path
    server: SourceServer

    def put(self, name: str, data: bytes) -> Path:
        """Write a file as a program does that knows nothing of us."""
        path = self.path / name
        path.write_bytes(data)
        return path

    def wait_for_jobs(self, number: int) -> list[BroughtJob]:
        """Wait until so many jobs are stored, and their files are gone."""
        jobs = self.server.wait_for_jobs(number)
        until(lambda: not self.left(), f"the files are gone: {self.left()}")
        return jobs

    def left(self) -> list[str]:
        """Return the paths of all files that are there, but those that were refused."""
        return sorted(
            str(path.relative_to(self.path))
            for path in self.path.rglob("*")
            if not path.is_dir() and path.parent.name != "refused"
        )

    def wait_for_refused(self, name: str, folder: str = "") -> str:
        """Wait until a file has been refused, and return why; it keeps its name."""
        refused = self.path / folder / "refused"
        until(lambda: (refused / f"{name}.txt").exists(), f"{name} is refused")
        self.wait_for_logged("file refused")
        assert os.path.lexists(refused / name)
        assert not os.path.lexists(self.path / folder / name)
        return (refused / f"{name}.txt").read_text()

    def wait_for_logged(self, message: str) -> dict[str, str]:
        """Wait until the log has this message, and return the fields of the first one."""
        self.server.wait_for(lambda: any(line.message == message for line in self.server.log))
        return next(line.fields for line in self.server.log if line.message == message)


StartFolder = Callable[..., WatchedFolder]


def png(seed: int = 1, size: tuple[int, int] = (120, 90)) -> bytes:
    """Return a small picture, another one for each seed."""
    return image_files.saved(image_files.noise(size=size, seed=seed), "PNG")


@contextlib.contextmanager
def starting(tmp_path: Path) -> Iterator[StartFolder]:
    """Yield a function that starts an inlet: with settings of the source, `about` are other fields of the start."""
    with contextlib.ExitStack() as stack:

        def start(
            *,
            destinations: tuple[str, ...] = ("Invoices",),
            path: Path | None = None,
            about: dict[str, Any] | None = None,
            **settings: Any,
        ) -> WatchedFolder:
            folder = path or tmp_path / "watched"
            folder.mkdir(exist_ok=True)
            table = {"folder": str(folder), "quiet_seconds": QUIET, **settings}
            running = source_server.running(FolderSource(), tmp_path, table, destinations=destinations, **(about or {}))
            server = stack.enter_context(running)
            server.wait_for(lambda: server.health)
            return WatchedFolder(folder, server)

        yield start
