"""`postscan` in a process of its own, forked from one that has imported everything: a start takes a tenth of the time.

It is a real process: it can be signalled, killed, traced and limited. `python -m postscan.cli` itself is started by
`tests/cli/test_commands.py`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

_FORKER = Path(__file__).with_name("command_forker.py")


class Command:
    """A command that runs; `stdout` is its output as text if it was started with `subprocess.PIPE`."""

    def __init__(self, pid: int, status: int, stdout: IO[str] | None, stderr: IO[str] | None) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._status = status

    def __enter__(self) -> Command:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when it has ended; raise `subprocess.TimeoutExpired` after *timeout* seconds."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("postscan", timeout or 0)
            data = os.read(self._status, 4)
            os.close(self._status)
            self.returncode = struct.unpack("i", data)[0] if data else -signal.SIGKILL
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return what it prints to stdout and stderr, when it has ended."""
        said = {"stdout": "", "stderr": ""}
        readers = []
        for name in said:
            if (stream := getattr(self, name)) is not None:

                def read(name: str = name, stream: IO[str] = stream) -> None:
                    said[name] = stream.read()

                readers.append(threading.Thread(target=read))
        for reader in readers:
            reader.start()
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            for reader in readers:
                reader.join()
        return said["stdout"], said["stderr"]


def start(
    arguments: list[str] | tuple[str, ...],
    *,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Command:
    """Start `postscan` with these arguments, in the network namespace of this thread."""
    with contextlib.ExitStack() as given:
        said, out = _stream(given, stdout, 1)
        complained, err = _stream(given, stderr, 2)
        nothing = given.enter_context(open(os.devnull))  # noqa: PTH123
        space = given.enter_context(open("/proc/thread-self/ns/net"))  # noqa: PTH123
        ended, status = os.pipe()
        given.callback(os.close, status)
        request = {
            "arguments": list(map(str, arguments)),
            "environment": dict(os.environ if environment is None else environment),
            "folder": os.getcwd(),  # noqa: PTH109
        }
        pid = _FORK.ask(json.dumps(request).encode(), [nothing.fileno(), out, err, status, space.fileno()])
        return Command(pid, ended, said, complained)


def run(
    arguments: list[str] | tuple[str, ...], *, timeout: float | None = 60, check: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run `postscan` with these arguments, and return what it printed."""
    with start(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        stdout, stderr = command.communicate(timeout)
        done = subprocess.CompletedProcess(["postscan", *arguments], command.wait(), stdout, stderr)
    if check:
        done.check_returncode()
    return done


def _stream(given: contextlib.ExitStack, asked: int | IO[Any] | None, number: int) -> tuple[IO[str] | None, int]:
    """Return what reads the stream, if something does, and the descriptor that the command writes to."""
    if asked == subprocess.PIPE:
        reading, writing = os.pipe()
        given.callback(os.close, writing)
        return open(reading, encoding="utf-8"), writing  # noqa: PTH123
    if asked == subprocess.DEVNULL:
        return None, given.enter_context(open(os.devnull, "w")).fileno()  # noqa: PTH123
    if asked is None:
        return None, number
    return None, asked if isinstance(asked, int) else asked.fileno()


class _Fork:
    """The process that forks; it is started by the first command, and ends with this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def ask(self, request: bytes, descriptors: list[int]) -> int:
        """Send a request; return the number of the process that was forked for it."""
        with self._lock:
            if self._socket is None:
                self._socket = self._started()
            socket.send_fds(self._socket, [request], descriptors)
            (pid,) = struct.unpack("i", self._socket.recv(4))
            return int(pid)

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            theirs.set_inheritable(True)
            command = [sys.executable, "-P", str(_FORKER), str(theirs.fileno())]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        atexit.register(_end, ours, process)
        return ours


def _end(requests: socket.socket, process: subprocess.Popen[bytes]) -> None:
    requests.close()
    process.wait()


_FORK = _Fork()
