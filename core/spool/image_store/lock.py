"""The lock of the spool's folder: no process looks for files without rows while another adds files before their rows.

A server needs it at its start alone, and a command when it releases or retries a job: a hard link has the times of its
file, so its age does not tell that it was just made.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postscan.core.errors import SpoolFull

LOCK_SECONDS: Final = 30.0
"""How long a process waits for the others."""

_PAUSE: Final = 0.02  # seconds


class SpoolLock:
    """Held by several processes that add files, or by one that looks for files without rows.

    The kernel releases it when a process ends. Both methods raise `SpoolFull` after `LOCK_SECONDS`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def adding(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock while files are added, and then their rows."""
        return self._held(fcntl.LOCK_SH)

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock while no other process holds it."""
        return self._held(fcntl.LOCK_EX)

    @contextlib.contextmanager
    def _held(self, kind: int) -> Iterator[None]:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._take(descriptor, kind)
            yield
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, kind: int) -> None:
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise SpoolFull(f"{self._folder}: in use by another process for {LOCK_SECONDS:g} s") from None
                time.sleep(_PAUSE)
            else:
                return
