"""Processes of the campaign.

Each takes one order as JSON, prints `RUNNING` when it begins, runs until its input is closed, and prints one report.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
RUNNING: Final = "running"
_SECONDS: Final = 120.0


class Child:
    """One process; its `report` is there when the body of `running` has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.report: Any = None

    def await_running(self) -> None:
        """Wait until it says that it runs; raise if it fails or takes too long."""
        stdout = self._process.stdout
        assert stdout
        if not select.select([stdout], [], [], _SECONDS)[0] or stdout.readline().strip() != RUNNING:
            raise RuntimeError("a process of the campaign does not run")

    def finish(self) -> None:
        """Let it end, and read its report; raise if it fails or has failed."""
        printed, _ = self._process.communicate(timeout=_SECONDS)
        if self._process.returncode:
            raise RuntimeError(f"a process of the campaign failed with exit code {self._process.returncode}")
        self.report = json.loads(printed)


@contextlib.contextmanager
def running(module: str, order: dict[str, Any], package: str = "campaigns.flood") -> Iterator[Child]:
    """Run a module of this package, or of another one, as a process while the body runs."""
    command = [sys.executable, "-m", f"{package}.{module}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdin
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            child = Child(process)
            yield child
            child.finish()
        finally:
            process.kill()
