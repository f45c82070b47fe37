"""strace on a running server: which calls it makes, and one call that kills it or fails.

`when=N` of strace counts the calls of each thread by itself, so in a server with several threads "the N-th call"
names nothing. Therefore one thread is traced at a time (`-p TID`, no `-f`): while one device sends one request after
the other to a server with one slot, each of its four threads has one role. The paths of images are random, so `-P`
cannot name them; calls are picked by thread and name, and `-y` tells afterwards which file it was.

A signal that strace injects arrives before the call is carried out: the N-th call never happens, all before it did.
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

ROLES: Final = ("loop", "scheduler", "requests", "pipeline")
"""What the threads of a server do; the last two begin with their first work."""

KNOCKS: Final = 5
"""Requests that tell the thread that answers them from one that woke up by chance."""

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
"""What changes files, and what sends answers."""

_LINE: Final = re.compile(r"^(?:(\d+) +)?(\w+)\((.*)")
_MATTERS: Final = re.compile(r"O_CREAT|O_DIRECTORY")  # the other files are opened to be read


class NoStrace(Exception):
    """The program strace is missing, or may not trace here."""


@dataclass(frozen=True)
class Call:
    """One line of strace: the thread (0 where it was not told), the call, and the rest of the line."""

    thread: int
    name: str
    rest: str

    def touches(self, data: Path) -> str:
        """Return what of a server's data the call is about; "elsewhere" for sockets, wake-ups and what is only read."""
        if self.name == "openat" and not _MATTERS.search(self.rest):
            return "elsewhere"
        if f"{data}/postscan.sqlite-journal" in self.rest:
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
    found = sorted(map(_begun, Path(f"/proc/{server}/task").iterdir()))
    if len(found) > len(ROLES):
        raise AssertionError(f"the server has {len(found)} threads; expected {', '.join(ROLES)}")
    return [number for _, number in found]


def roles(server: int, knock: Callable[[], object]) -> dict[str, int]:
    """Return the thread of each role. *knock* sends one request that no filter hears of.

    After a crash the pipeline may be older than the thread of the requests; the one that wakes up at every knock is
    the latter. The pipeline may wake up now and then: it has just put a job down.
    """
    loop, scheduler, *others = threads(server)
    before = {thread: _switches(server, thread) for thread in others}
    for _ in range(KNOCKS):
        knock()
    woken = {thread: _switches(server, thread) - before[thread] for thread in others}
    requests, pipeline = sorted(others, key=lambda thread: woken[thread], reverse=True)
    if woken[requests] < KNOCKS or woken[requests] == woken[pipeline]:
        raise AssertionError(
            f"after {KNOCKS} requests, threads had woken up so often: {woken}; expected one clear lead"
        )
    return dict(zip(ROLES, (loop, scheduler, requests, pipeline), strict=True))


@contextlib.contextmanager
def recorded(server: int, log: Path, *calls: str) -> Iterator[None]:
    """Write the calls of all threads of a server to *log* while the body runs; read it with `read`."""
    with _attached(["-f", "-p", str(server)], log, ",".join(calls or CALLS)):
        yield


@contextlib.contextmanager
def injected(thread: int, call: str, what: str, log: Path) -> Iterator[None]:
    """Do *what* to a *call* of this thread while the body runs: `signal=SIGKILL:when=3`, `error=EIO:when=3`."""
    with _attached(["-p", str(thread), "-e", f"inject={call}:{what}"], log, call):
        yield


def read(log: Path) -> list[Call]:
    """Return the calls of a log in their order."""
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
        said = strace.stderr.readline()
        if "attached" not in said:
            raise NoStrace(f"strace cannot trace here: {said.strip()}")
        try:
            yield
        finally:
            strace.terminate()
            strace.communicate()


def _begun(task: Path) -> tuple[int, int]:
    """Return when a thread began (in ticks), and its number."""
    return int((task / "stat").read_text().rpartition(")")[2].split()[19]), int(task.name)


def _switches(server: int, thread: int) -> int:
    """Return how often a thread has gone to sleep."""
    status = Path(f"/proc/{server}/task/{thread}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
