"""Run another program for a filter: it ends at the cancel, and the end of its output is kept.

A tool leads a process group of its own, so that it can be ended together with what it has started. The SIGTERM of a
termination goes to the group of the worker and does not reach it. It need not: the tool is ended at the cancel itself,
which comes before, and the supervisor kills every process below the worker whatever its group.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from postscan.core.filters.cancellation import CancellationToken

LAST_OUTPUT: Final = 8192  # bytes of a tool's output that are kept
_POLITE: Final = 0.5  # seconds from SIGTERM to SIGKILL


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
    handle = os.pidfd_open(leader)
    try:
        if not _ends_within(handle, 0.0):
            _signal(leader, signal.SIGTERM)
            _ends_within(handle, _POLITE)
    finally:
        os.close(handle)
    _signal(leader, signal.SIGKILL)


def _ends_within(handle: int, seconds: float) -> bool:
    """Wait for the end of the process with this handle; return False if it takes longer."""
    end = select.poll()
    end.register(handle, select.POLLIN)
    return bool(end.poll(seconds * 1000))


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
