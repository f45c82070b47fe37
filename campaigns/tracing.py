"""Run strace on a server or a source: record its system calls, or inject a signal, an error or a delay into some.

`when=N` of strace counts the calls of each thread separately, so "the N-th call" of a server with several threads is
undefined. Therefore the threads of one role are traced at a time (`-p TID`, no `-f`): while one device sends its
requests one after the other to a server with one slot, each role has one thread. A role is known by the name of its
thread, which the servers of the tests tell the kernel. The paths of images are random, so `-P` cannot select them;
calls are selected by thread and name, and `-y` shows the file.

A signal that strace injects arrives before the call: the N-th call is not made, all calls before it were.
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NOT_HERE: Final = "strace is not installed; on Debian: apt-get install strace"

_NAMES: Final[Mapping[str, str]] = {
    "memory": "memory",
    "sweeper": "sweeper",
    "scheduler": "scheduler",
    "requests": "AnyIO worker",
    "pipeline": "job_",
    "sources": "sources",
    "inlet": "inlet-",
    "intake": "source-",
}
"""How the names of the threads of a role begin; the `loop` is the main thread."""

DEVICE_ROLES: Final = ("loop", "memory", "sweeper", "scheduler", "requests", "pipeline")
"""The roles of the threads of a server to which a device sends a job."""

SOURCE_ROLES: Final = ("loop", "memory", "sweeper", "scheduler", "sources", "inlet", "intake", "pipeline")
"""The same for a job that comes through an inlet."""

INTAKE: Final = "intake"
"""Its threads carry out the requests of a source. A second one starts if a request comes before the first is free."""

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

SOURCE_CALLS: Final = (
    "write",
    "fsync",
    "rename",
    "renameat",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "rmdir",
    "sendto",
    "sendmsg",
    "writev",
    "recvfrom",
)
"""The same for the process of a source, with what it receives: the call behind each reply of the server.

Files that it opens are not among them: most are modules of Python, and a new file is written to in any case.
"""

_LINE: Final = re.compile(r"^(?:(\d+) +)?(\w+)\((.*)")
_RESUMED: Final = re.compile(r"^(?:(\d+) +)?<\.\.\. (\w+) resumed>")
_UNFINISHED: Final = "<unfinished ...>"
_ATTACHED: Final = re.compile(r"Process (\d+) attached")
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


@dataclass(frozen=True)
class Span:
    """A call of a log from its begin to its return, by the numbers of their lines; `ended` is infinite without one."""

    call: Call
    begun: float
    ended: float


def available() -> bool:
    """Return whether strace is installed."""
    return shutil.which("strace") is not None


def roles(server: int) -> dict[str, list[int]]:
    """Return the threads of each role that a server has now; those that begin and end with a run have none.

    Raises if a role has several threads.
    """
    found: dict[str, list[int]] = {"loop": [server]}
    for task in sorted(Path(f"/proc/{server}/task").iterdir(), key=lambda task: int(task.name)):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            name = (task / "comm").read_text()
            for role, beginning in _NAMES.items():
                if name.startswith(beginning):
                    found.setdefault(role, []).append(int(task.name))
    several = [role for role, threads in found.items() if len(threads) > 1]
    if several:
        raise AssertionError(f"the server has several threads of one role: {found}; expected one {', '.join(several)}")
    return found


@contextlib.contextmanager
def recorded(process: int, log: Path, *calls: str) -> Iterator[None]:
    """Write the calls of all threads of a process to *log* while the body runs; read it with `read`."""
    with _attached([process], ["-f"], log, calls or CALLS):
        yield


@contextlib.contextmanager
def injected(threads: int | Sequence[int], call: str, what: str, log: Path) -> Iterator[None]:
    """Inject *what* into a *call* of these threads while the body runs: `signal=SIGKILL:when=3`, `error=EIO:when=3`."""
    targets = [threads] if isinstance(threads, int) else threads
    with _attached(targets, ["-e", f"inject={call}:{what}"], log, [call]):
        yield


@contextlib.contextmanager
def injected_into_all(process: int, call: str, what: str, log: Path, path: str = "") -> Iterator[None]:
    """Inject *what* into a *call* of any thread of a process while the body runs; with *path*, on that file alone."""
    on = ["-P", path] if path else []
    with _attached([process], ["-f", *on, "-e", f"inject={call}:{what}"], log, [call]):
        yield


@contextlib.contextmanager
def delayed(processes: Sequence[int], calls: Sequence[str], seconds: float, log: Path, *others: str) -> Iterator[None]:
    """Let each of these calls of the processes begin *seconds* later while the body runs, and write them to *log*.

    Also writes the calls *others*. The lines are in the order in which the calls began and returned; read them with
    `spans`.
    """
    delay = f"inject={','.join(calls)}:delay_enter={round(seconds * 1_000_000)}"
    with _attached(processes, ["-f", "-e", delay], log, [*calls, *others]):
        yield


def socket_to_server(source: int) -> str:
    """Return the path of the socket between the process of a source and its server: the first one that it got."""
    for descriptor in sorted(Path(f"/proc/{source}/fd").iterdir(), key=lambda one: int(one.name)):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            path = str(descriptor.readlink())
            if path.startswith("socket:"):
                return path
    raise AssertionError(f"process {source} has no socket")


def read(log: Path) -> list[Call]:
    """Return the calls of a log in order."""
    found = map(_LINE.match, log.read_text(errors="replace").splitlines())
    return [Call(int(one[1] or 0), one[2], one[3]) for one in found if one]


def most_of_one_thread(log: Path) -> int:
    """Return the number of calls of the thread that has most of them in a log."""
    return max(Counter(call.thread for call in read(log)).values(), default=0)


def spans(log: Path) -> list[Span]:
    """Return the calls of a log in the order in which they began."""
    found: list[Span] = []
    unfinished: dict[int, int] = {}
    for number, line in enumerate(log.read_text(errors="replace").splitlines()):
        if begun := _LINE.match(line):
            call = Call(int(begun[1] or 0), begun[2], begun[3])
            is_over = not line.endswith(_UNFINISHED)
            if not is_over:
                unfinished[call.thread] = len(found)
            found.append(Span(call, number, number if is_over else math.inf))
        elif (resumed := _RESUMED.match(line)) and int(resumed[1] or 0) in unfinished:
            place = unfinished.pop(int(resumed[1] or 0))
            found[place] = Span(found[place].call, found[place].begun, number)
    return found


@contextlib.contextmanager
def _attached(targets: Sequence[int], options: Sequence[str], log: Path, calls: Sequence[str]) -> Iterator[None]:
    if not available():
        raise NoStrace(NOT_HERE)
    log.unlink(missing_ok=True)
    named = [word for target in targets for word in ("-p", str(target))]
    traced = ["-e", f"trace={','.join(calls)}", "-e", "signal=none", "-o", str(log)]
    command = ["strace", *named, *options, "-y", "-s", "64", *traced]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr
        try:
            left = set(targets)
            while left:
                message = strace.stderr.readline()
                attached = _ATTACHED.search(message)
                if attached is None:
                    raise NoStrace(f"strace cannot trace here: {message.strip()}")
                left.discard(int(attached[1]))
            yield
        finally:
            strace.terminate()
            strace.communicate()
