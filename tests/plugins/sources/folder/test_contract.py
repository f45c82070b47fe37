"""The contract of sources: it is killed, refused, stopped and cut at each step, and no file is lost or stored twice."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

from postscan.plugins.sources.folder import FolderSource
from postscan.plugins.testing import Origin, assert_source_contract

CUTS = 24
"""Here; the campaign does 200."""


class ScanProgram(Origin):
    """A program that writes each page into the folder, and moves back what was refused."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._path = folder / "none.png"
        self._page = b""

    def bring(self, page: bytes) -> None:
        """Write a file."""
        self.cut(page, len(page))

    def cut(self, page: bytes, size: int) -> None:
        """Write so many bytes of a file, and close it."""
        self._page = page
        self._path = self._folder / f"{next(self._numbers)}.png"
        self._path.write_bytes(page[:size])

    def again(self) -> None:
        """Complete the file if it is cut; move it back if it was refused."""
        with contextlib.suppress(FileNotFoundError):
            (self._folder / "refused" / self._path.name).rename(self._path)
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_size < len(self._page):
                self._path.write_bytes(self._page)

    def acknowledged(self) -> bool:
        """Whether the file is gone: not there, not refused, and not on its way from one to the other."""
        return not any(path.name.endswith(self._path.name) for path in self._folder.rglob("*"))


def test_the_source_keeps_the_contract(tmp_path: Path) -> None:
    """In processes of its own, as the server starts it."""
    assert_source_contract(
        FolderSource(),
        ScanProgram(tmp_path),
        settings={"folder": str(tmp_path), "quiet_seconds": 0.2},
        cuts=CUTS,
    )
