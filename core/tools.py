"""Running another program for a filter: it ends with the cancel, and its last words are kept."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from postscan.core.cancellation import CancellationToken

LAST_WORDS: Final = 8192  # bytes of a tool's output that are kept
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

    Raises `OSError` if it cannot be started.
    """
    with tempfile.TemporaryFile(dir=folder) as output:
        process = subprocess.Popen(  # noqa: S603  (no shell; the command is the filter's)
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            with token.calling(process.terminate):
                process.wait()
        finally:
            _end(process)
        output.seek(max(0, output.seek(0, os.SEEK_END) - LAST_WORDS))
        return ToolEnded(process.returncode, output.read().decode("utf-8", "replace").strip())


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_POLITE)
        return
    process.kill()
    process.wait()
