"""Run strace on a server: record its system calls, or inject a signal or an error into one.

`when=N` of strace counts the calls of each thread separately, so "the N-th call" of a server with several threads is
undefined. Therefore one thread is traced at a time (`-p TID`, no `-f`): while one device sends its requests one after
the other to a server with one slot, each of the six threads has one role. The paths of images are random, so `-P`
cannot select them; calls are selected by thread and name, and `-y` shows the file.

A signal that strace injects arrives before the call: the N-th call is not made, all calls before it were.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NOT_HERE: Final = "strace is not installed; on Debian: apt-get install strace"

ROLES: Final = ("loop", "memory", "sweeper", "scheduler", "requests", "pipeline")
"""The roles of the threads of a server, in the order of their starts; the last two are started by their first work."""

QUERIES: Final = 5
"""Requests that distinguish the thread that processes them from one that wakes up by itself."""

CALLS: Final = (
    "openat",
    "write",
    "pwrite64",
    "ftruncate",
    "fsync",
    "fdatasync",
    "rename",
    "link",
    "unlink",
    "mkdir",
    "rmdir",
    "sendto",
    "writev",
)
"""The calls that change files or send responses."""

_LINE: Final = re.compile(r"^(?:(\d+) +)?(\w+)\((.*)")
_MATTERS: Final = re.compile(r"O_CREAT|O_DIRECTORY")  # other files are opened for reading


class NoStrace(Exception):
    """strace is missing, or is not permitted to trace here."""


@dataclass(frozen=True)
class Call:
    """One line of strace: the thread (0 if it is not in the line), the call, and the rest of the line."""

    thread: int
    name: str
    rest: str

    def touches(self, data: Path) -> str:
        """Return the part of the server's data that the call changes; "elsewhere" for sockets, wake-ups and reads."""
        if self.name == "openat" and not _MATTERS.search(self.rest):
            return "elsewhere"
        if f"{data}/postscan.sqlite-journal" in self.rest or f"{data}/postscan.sqlite-wal" in self.rest:
            return "journal"
        if f"{data}/postscan.sqlite" in self.rest:
            return "database"
        if re.search(re.escape(f"{data}/spool/") + r"[\w-]+/\d+-\w+", self.rest):
            return "spool file"
        if f"{data}/spool" in self.rest:
            return "spool folder"
        if f"{data}/run/" in self.rest:
            return "run folder"
        return "data folder" if re.search(re.escape(str(data)) + '[>"]', self.rest) else "elsewhere"


def available() -> bool:
    """Return whether strace is installed."""
    return shutil.which("strace") is not None


def threads(server: int) -> list[int]:
    """Return the threads of a server, the oldest first; raise if there are more than there are roles."""
    found = sorted(map(_started, Path(f"/proc/{server}/task").iterdir()))
    if len(found) > len(ROLES):
        raise AssertionError(f"the server has {len(found)} threads; expected {', '.join(ROLES)}")
    return [number for _, number in found]


def roles(server: int, query: Callable[[], object]) -> dict[str, int]:
    """Return the thread of each role. *query* sends one request that involves no filter.

    After a crash the pipeline may be older than the thread of the requests; the latter wakes up at every query. The
    pipeline may wake up sometimes, because it has just suspended a job.
    """
    loop, memory, sweeper, scheduler, *others = threads(server)
    before = {thread: _switches(server, thread) for thread in others}
    for _ in range(QUERIES):
        query()
    woken = {thread: _switches(server, thread) - before[thread] for thread in others}
    requests, pipeline = sorted(others, key=lambda thread: woken[thread], reverse=True)
    if woken[requests] < QUERIES or woken[requests] == woken[pipeline]:
        raise AssertionError(
            f"wake-ups of the threads after {QUERIES} requests: {woken}; expected one with most of them"
        )
    return dict(zip(ROLES, (loop, memory, sweeper, scheduler, requests, pipeline), strict=True))


@contextlib.contextmanager
def recorded(server: int, log: Path, *calls: str) -> Iterator[None]:
    """Write the calls of all threads of a server to *log* while the body runs; read it with `read`."""
    with _attached(["-f", "-p", str(server)], log, ",".join(calls or CALLS)):
        yield


@contextlib.contextmanager
def injected(thread: int, call: str, what: str, log: Path) -> Iterator[None]:
    """Inject *what* into a *call* of this thread while the body runs: `signal=SIGKILL:when=3`, `error=EIO:when=3`."""
    with _attached(["-p", str(thread), "-e", f"inject={call}:{what}"], log, call):
        yield


def read(log: Path) -> list[Call]:
    """Return the calls of a log in order."""
    found = map(_LINE.match, log.read_text(errors="replace").splitlines())
    return [Call(int(one[1] or 0), one[2], one[3]) for one in found if one]


@contextlib.contextmanager
def _attached(target: list[str], log: Path, calls: str) -> Iterator[None]:
    if not available():
        raise NoStrace(NOT_HERE)
    log.unlink(missing_ok=True)
    command = ["strace", *target, "-y", "-s", "64", "-e", f"trace={calls}", "-e", "signal=none", "-o", str(log)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr
        message = strace.stderr.readline()
        if "attached" not in message:
            raise NoStrace(f"strace cannot trace here: {message.strip()}")
        try:
            yield
        finally:
            strace.terminate()
            strace.communicate()


def _started(task: Path) -> tuple[int, int]:
    """Return the start time of a thread (in ticks), and its number."""
    return int((task / "stat").read_text().rpartition(")")[2].split()[19]), int(task.name)


def _switches(server: int, thread: int) -> int:
    """Return the number of voluntary context switches of a thread."""
    status = Path(f"/proc/{server}/task/{thread}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
