"""A process that has imported postscan and forks itself for each command: see `commands.py`, which starts it.

It reads requests from the socket whose descriptor is its argument, one a packet, and ends when that is closed. Each
request brings the descriptors of the command's stdin, stdout and stderr, of the pipe that takes its exit status,
and of the network namespace that it runs in.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

IMPORTED = (
    "postscan.cli.app",
    "postscan.cli.output.logs",
    "postscan.core.engine",
    "postscan.migrations",
    "postscan.soap.server",
    "alembic.command",
    "alembic.ddl.sqlite",
    "sqlalchemy.dialects.sqlite",
    "postscan.soap.processes.folder",
    "anyio._backends._asyncio",
    "anyio.streams.tls",
    "httpcore2",
    "truststore",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
"""What commands import, most of it only when they need it."""

CONSTANTS = "POSTSCAN_TEST_CONSTANTS"
"""The variable with values for constants of modules, as JSON: `{"postscan.core.sources.inlet.THREADS": 1}`."""

DESCRIPTORS = 5
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_LONGEST_NAME = 15
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def _of_commands() -> Iterator[str]:
    """Yield the modules of all commands."""
    from postscan.cli.command_table import COMMANDS

    for place in COMMANDS.values():
        yield place.partition(":")[0]


def main() -> None:
    """Serve requests until nobody can send one any more; the commands die with this process."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    for name in (*IMPORTED, *_of_commands()):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    woken, waker = os.pipe()
    for end in (woken, waker):
        os.set_blocking(end, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    reports: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
            _report(reports)
        if requests in ready:
            data, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, DESCRIPTORS)
            if not data:
                return
            parent = os.getpid()
            child = os.fork()
            if child == 0:
                requests.close()
                for one in (woken, waker, *reports.values()):
                    os.close(one)
                _become(json.loads(data), descriptors, parent)
                return
            *given, status, space = descriptors
            for one in (*given, space):
                os.close(one)
            reports[child] = status
            requests.send(struct.pack("i", child))


def _report(reports: dict[int, int]) -> None:
    """Send the status of each command that has ended into its pipe."""
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process == 0:
            return
        descriptor = reports.pop(process)
        with contextlib.suppress(BrokenPipeError):
            os.write(descriptor, struct.pack("i", os.waitstatus_to_exitcode(status)))
        os.close(descriptor)


def _become(request: dict[str, Any], descriptors: list[int], parent: int) -> None:
    """Turn the forked process into the command, and run it."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    *streams, status, space = descriptors
    os.close(status)
    if os.fstat(space).st_ino != Path("/proc/self/ns/net").stat().st_ino and _LIBC.setns(space, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for one in (*streams, space):
        os.close(one)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["folder"])
    sys.path[:0] = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one and one not in sys.path]
    for name, value in json.loads(os.environ.pop(CONSTANTS, "{}")).items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    threading.setprofile(_name_thread)
    sys.argv = ["postscan", *request["arguments"]]
    runpy.run_module("postscan.cli", run_name="__main__", alter_sys=True)


def _name_thread(*_: object) -> None:
    """Tell the kernel the name of the thread that begins, as Python 3.14 does; `campaigns/tracing.py` reads it."""
    sys.setprofile(None)
    name = threading.current_thread().name.removeprefix("postscan-")
    _LIBC.prctl(_PR_SET_NAME, name.encode()[:_LONGEST_NAME])


if __name__ == "__main__":
    main()
