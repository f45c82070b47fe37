"""Run another program for a filter: it ends at the cancel, and the end of its output is kept.

A tool leads a process group of its own, so that it can be ended together with what it has started. The SIGTERM of a
termination goes to the group of the worker and does not reach it. It need not: the tool is ended at the cancel itself,
which comes before, and the supervisor kills every process below the worker whatever its group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from postscan.core.filters.cancellation import CancellationToken

LAST_OUTPUT: Final = 8192  # bytes of a tool's output that are kept
_POLITE: Final = 0.5  # seconds from SIGTERM to SIGKILL
_PAUSE: Final = 0.01  # seconds between two checks of a tool that got SIGTERM


class ToolEnded(NamedTuple):
    """How a tool ended: its exit code (negative: the signal that ended it), and the end of what it printed."""

    code: int
    output: str


def run(
    token: CancellationToken,
    command: Sequence[str | os.PathLike[str]],
    folder: Path,
    environment: Mapping[str, str],
) -> ToolEnded:
    """Run *command* in *folder* until it ends, or until the cancel: then it is ended, and `Cancelled` raised.

    What it has started itself and left in its group ends with it, however it ends. Raises `OSError` if it cannot be
    started.
    """
    token.check()
    with tempfile.TemporaryFile(dir=folder) as output:
        process = subprocess.Popen(  # noqa: S603  (no shell; the command is the filter's)
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        try:
            with token.calling(lambda: _end(process.pid)):
                # It is not reaped here: until then no other process can get its PID.
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        finally:
            _end(process.pid)
            process.wait()
        output.seek(max(0, output.seek(0, os.SEEK_END) - LAST_OUTPUT))
        return ToolEnded(process.returncode, output.read().decode("utf-8", "replace").strip())


def _end(leader: int) -> None:
    """End a tool by SIGTERM, then everything in its group by SIGKILL."""
    until = time.monotonic() + _POLITE
    if not _has_ended(leader):
        _signal(leader, signal.SIGTERM)
    while not _has_ended(leader) and time.monotonic() < until:
        time.sleep(_PAUSE)
    _signal(leader, signal.SIGKILL)


def _has_ended(process: int) -> bool:
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
