"""Inlets of a running engine whose sources are those of `tests/outside/inlets`, each with a folder of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from sourced import ADMIN
from works import until

from postscan.core.engine import Engine
from postscan.core.service.inlets import InletRow

OUTSIDE = Path(__file__).parents[1] / "outside" / "inlets"


class Running:
    """An engine with inlets that run."""

    def __init__(self, core: Engine, home: Path) -> None:
        self.core = core
        self.home = home

    def folder(self, name: str) -> Path:
        """Return the folder that the source of an inlet uses."""
        return self.home / name

    def row(self, name: str = "errand") -> InletRow:
        """Return how an inlet is."""
        return self.core.inlets.list(ADMIN)[name]

    def await_state(self, state: str, name: str = "errand") -> InletRow:
        """Wait until an inlet is so."""
        until(lambda: self.row(name).state == state, f"for {name} to be {state}: {self.row(name)}")
        return self.row(name)

    def process(self, name: str = "errand") -> int:
        """Wait until the source runs, and return its process."""
        file = self.folder(name) / "process"
        until(lambda: file.exists() and file.read_text(), f"for {name} to run: {self.row(name)}")
        return int(file.read_text())

    def workdirs(self) -> list[Path]:
        """Return the folders of processes of sources."""
        return list(self.core.settings.storage.run_dir.glob("source-*"))


Start = Callable[..., contextlib.AbstractContextManager[Running]]
"""Runs an engine with these inlets: `start(errand={"behaviour": "fail"})`."""
