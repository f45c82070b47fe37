"""The process between the server and one worker: it holds every process that the worker starts.

    server ── forkserver ── supervisor ── worker ── tools, daemons, and whatever else the filter starts

No code of a plugin runs here. The supervisor adopts every process below it that loses its parent, reads what is
printed, and ends after everything below it. So when the server sees it end, nothing of the run is left. It acts on
three signals and blocks them until it waits for them:

    SIGCHLD   a child ended: if it was the worker, kill the rest and end
    SIGUSR1   send SIGTERM to the worker and its tools
    SIGTERM   kill the rest and end; the death of the server has the same effect

At its end it sends a report on a socket that the worker does not have: what was printed, then how the worker ended. A
supervisor that ends without a report was killed.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import socket
import struct
import threading
from typing import Final, NamedTuple

from postscan.core.workers import child, orphans

PRINTED: Final = 1 << 16
"""Most bytes that are kept of what a run prints; the rest is read and dropped."""

_DRAIN_SECONDS: Final = 3.0
"""For the rest of what was printed, on a busy machine; only a writer that escaped the sweep needs more.

Less than the server leaves a supervisor that it kills (`termination.REPORT_SECONDS`), else the report would be lost.
"""

_SIGNALS: Final = frozenset({signal.SIGCHLD, signal.SIGUSR1, signal.SIGTERM})
_LAST = struct.Struct("!iQ")  # the worker's exit code as Python spells it, and how many bytes it printed


class Report(NamedTuple):
    """What a supervisor sends at its end; `exit_code` is the worker's, negative for a signal."""

    exit_code: int
    printed: bytes
    size: int

    @classmethod
    def read(cls, data: bytes) -> Report | None:
        """Return the report in *data*; None if it is not whole, since the supervisor was killed."""
        if len(data) < _LAST.size:
            return None
        code, size = _LAST.unpack(data[-_LAST.size :])
        return cls(code, data[: -_LAST.size], size)

    def write(self) -> bytes:
        """Return the bytes of the report."""
        return self.printed + _LAST.pack(self.exit_code, self.size)


def main(channel: socket.socket, report: socket.socket) -> None:
    """Start the worker, which uses *channel*; end with it and everything below it; send the *report*."""
    gc.enable()  # off in the forkserver
    os.setsid()
    orphans.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then stops its supervisors
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    output, printing = os.pipe()
    supervisor = os.getpid()
    worker = os.fork()
    if worker == 0:
        report.close()
        os.close(output)
        _work(channel, printing, supervisor)
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(worker, worker)  # here and there, whichever process comes first
    channel.close()
    os.close(printing)
    drain = _Drain(output)
    threading.Thread(target=_end_with_the_server, name="postscan-orphan", daemon=True).start()
    status = _wait(worker)
    status = orphans.sweep().get(worker, status)
    kept, size = drain.end()
    with contextlib.suppress(OSError):  # the server is gone
        report.sendall(Report(os.waitstatus_to_exitcode(status), kept, size).write())
    os._exit(0)


def _work(channel: socket.socket, printing: int, supervisor: int) -> None:
    """Become the worker; never return."""
    code = 1
    try:
        os.setpgid(0, 0)
        orphans.die_with(supervisor)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        for stream in (1, 2):
            os.dup2(printing, stream)
        os.close(printing)
        child.main(channel)
        code = 0
    finally:
        os._exit(code)  # threads that a filter left running are not waited for


def _wait(worker: int) -> int:
    """Wait until the worker has ended, or should; return its status, 0 if it has not."""
    while (number := signal.sigwait(_SIGNALS)) != signal.SIGTERM:
        if number == signal.SIGUSR1:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker, signal.SIGTERM)
        else:
            with contextlib.suppress(ChildProcessError):
                while (found := os.waitpid(-1, os.WNOHANG))[0]:
                    if found[0] == worker:
                        return found[1]
    return 0


def _end_with_the_server() -> None:
    """Turn the death of the server into a SIGTERM for this process, even if the server was killed.

    PR_SET_PDEATHSIG does not help here: the kernel's parent of a supervisor is the forkserver, which lives as long as
    any supervisor does.
    """
    server = multiprocessing.parent_process()
    if server is None:
        raise AssertionError("multiprocessing starts every supervisor")
    server.join()
    os.kill(os.getpid(), signal.SIGTERM)


class _Drain:
    """Reads a pipe to its end in a thread, so that a filter that prints without end never waits; keeps the head."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._kept = bytearray()
        self._size = 0
        self._thread = threading.Thread(target=self._read, name="postscan-drain", daemon=True)
        self._thread.start()

    def end(self) -> tuple[bytes, int]:
        """Return the head, and the number of bytes in all."""
        self._thread.join(_DRAIN_SECONDS)
        return bytes(self._kept), self._size

    def _read(self) -> None:
        while data := os.read(self._pipe, PRINTED):
            self._kept += data[: PRINTED - len(self._kept)]
            self._size += len(data)
