"""A lock of one process at a time on a file; the kernel releases it when the process ends, also if it is killed.

The file stays: a process that locks a removed file, and one that locks the new file of that name, would both hold the
lock. It contains the name of the last process that held it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LOCK_SECONDS: Final = 1.0
"""How long `held` waits: a process that asks whether the lock is held has it for a moment."""

_PAUSE: Final = 0.02  # seconds
_LONGEST_NAME: Final = 200  # bytes


class LockHeld(Exception):
    """Another process holds the lock; *holder* names it, and is None for one that has just ended."""

    def __init__(self, holder: str | None) -> None:
        super().__init__(holder)
        self.holder = holder


def this_process() -> str:
    """Return the name of this process for administrators."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def process_number(name: str) -> int | None:
    """Return the number of the process that has this name; None if it is not on this machine."""
    number = name.removeprefix("process ").removesuffix(f" on {socket.gethostname()}")
    return int(number) if number.isdecimal() else None


class FileLock:
    """A lock of one process on the file *path*, which is made if it is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock while the body runs; raise `LockHeld` if another process holds it for `LOCK_SECONDS`."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(descriptor)
            with contextlib.suppress(OSError):  # a full disk: the lock holds without a name too
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, this_process().encode()[:_LONGEST_NAME], 0)
            yield
        finally:
            os.close(descriptor)

    def holder(self) -> str | None:
        """Return the name of the process that holds the lock; None if there is none."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _name(descriptor)
        finally:
            os.close(descriptor)
        return None


def _take(descriptor: int) -> None:
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise LockHeld(_name(descriptor)) from None
            time.sleep(_PAUSE)
        else:
            return


def _name(descriptor: int) -> str:
    """Return the name that the holder of the lock has written."""
    return os.pread(descriptor, _LONGEST_NAME, 0).decode(errors="replace") or "a process without a name"
