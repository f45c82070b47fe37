"""A source in a process of its own, with a server's side in this one; it may be killed at any moment.

The process is a fork of the caller, so a source may be any object, and what it does to its process ends with it.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from postscan.core.filters.source.connection import InletConnection
from postscan.core.filters.source.messages import Destination, InletStarted
from postscan.core.filters.source.source import Source
from postscan.core.workers import orphans
from postscan.core.workers.orders import source as source_process
from postscan.plugins.testing.sources.server import JobTable, SourceServer

INLET: Final = "under-test"
"""The name of the inlet."""

_PAUSE: Final = 0.005
_PRINTED: Final = 1 << 20  # bytes of the output that are kept


class SourceProcess:
    """One process of a source; leaving the block kills what is left of it. `server` is its server's side.

    *home* has the folder that is kept across processes. *about* are fields of `InletStarted`.
    """

    def __init__(
        self, source: Source, table: JobTable, home: Path, settings: Mapping[str, Any], about: Mapping[str, Any]
    ) -> None:
        folder = home / "folder"
        folder.mkdir(exist_ok=True)
        self._workdir = tempfile.TemporaryDirectory(prefix="workdir-", dir=home, ignore_cleanup_errors=True)
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        ours, theirs = socket.socketpair()
        self._channel = ours
        started = InletStarted(
            plugin=INLET,
            settings=dict(settings),
            folder=folder,
            workdir=Path(self._workdir.name),
            **{"inlet": INLET, "destinations": (Destination(id="d1", label="Scans"),), **about},
        )
        self.server = SourceServer(ours, started, table)
        self.killed = False
        self._code: int | None = None
        with theirs:
            self.pid = self._fork(source, theirs)
        self.server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self.server.die()
        self.server.join()
        self._channel.close()
        self._printed.close()
        self._workdir.cleanup()

    def kill(self) -> None:
        """Kill the process and what it has started in its group, as `kill -9` does, and wait for its end."""
        if self._code is None:
            self.killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if self._code is None:
            _, status = os.waitpid(self.pid, 0)
            self._code = os.waitstatus_to_exitcode(status)
        self.server.join()

    def ended(self, seconds: float) -> bool:
        """Wait for the end of the process; return whether it has come within *seconds*."""
        until = time.monotonic() + seconds
        while self._code is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self._code = os.waitstatus_to_exitcode(status)
                self.server.join()
            elif time.monotonic() > until:
                return False
            else:
                time.sleep(_PAUSE)
        return True

    @property
    def printed(self) -> str:
        """What the process has printed."""
        self._printed.seek(0)
        return self._printed.read(_PRINTED).decode("utf-8", "replace")

    def _fork(self, source: Source, channel: socket.socket) -> int:
        parent = os.getpid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn about a fork beside threads
            child = os.fork()
        if child:
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.setpgid(child, child)
            return child
        try:
            gc.freeze()  # objects of the caller are not finalised here
            os.setpgid(0, 0)
            orphans.die_with(parent)
            self._channel.close()
            _redirect(self._printed.fileno())
            os.chdir(self._workdir.name)
            connection = InletConnection(channel)
            started = connection.receive_start()
            if started is not None:
                source_process.run(source, started, connection)
            sys.stdout.flush()
        finally:
            os._exit(0)  # without joining threads that the source left running


def _redirect(printed: int) -> None:
    """Redirect stdout, stderr and the log to a file, and give back the signals that a test runner handles."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, stream in ((nothing, 0), (printed, 1), (printed, 2)):
        os.dup2(descriptor, stream)
    sys.stdout = sys.stderr = open(1, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115  (open until the process ends)
    logging.root.handlers = [logging.StreamHandler()]
    logging.root.setLevel(logging.WARNING)
