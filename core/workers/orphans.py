"""Find and kill the processes that a filter started and left running.

Three mechanisms, one behind the other:

* The supervisor of a run (`postscan.core.workers.supervisor`) adopts every orphan below it, whatever its session,
  environment or process group is, and `sweep` kills it.
* A supervisor that was itself killed leaves a mark behind: the variable POSTSCAN_RUN, which forkserver, supervisor,
  filter and tools inherit. `end_unattached` kills what carries this server's mark and is below none of its processes.
* The next server kills what carries the mark of a server that has ended (`end_orphans`).

What can still escape: a process that kills its supervisor and, before that, has executed a program with an environment
without the mark; and one that forks faster than it can be killed. A filter also runs as the server's own user, so it
could kill the server itself. Only a control group and a user of its own prevent that.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

MARK: Final = "POSTSCAN_RUN"
"""The environment variable that every process below a server carries; its value names the server."""

_PROC: Final = Path("/proc")
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_STATE, _PARENT, _START = 0, 1, 19  # fields of /proc/<pid>/stat after the name
_PAUSE: Final = 0.002
_LONGEST: Final = 5.0  # seconds after which no more processes are looked for


@cache
def mark() -> str:
    """Return the mark of this process: PID namespace, PID and start time, which never occur twice."""
    process = os.getpid()
    return f"{_pid_namespace()}.{process}.{_start_time(process)}"


def adopt_orphans() -> None:
    """Make this process the parent of every process below it that loses its parent (Linux: child subreaper)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its *parent* ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)  # it ended before the call


def sweep() -> dict[int, int]:
    """Kill everything below this process until nothing is left; return the wait statuses of its children by PID.

    For a process that adopts orphans: it kills its own children only, whose PIDs are not used again before they are
    waited for, and their children become its own. Nothing is left when the kernel reports that there is no child.
    """
    ended: dict[int, int] = {}
    while True:
        for child in _children():
            _kill(child)
        try:
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                ended[found[0]] = found[1]
        except ChildProcessError:
            return ended
        time.sleep(_PAUSE)


def end_below(process: int) -> None:
    """Kill every process below *process* from outside; for a supervisor that does not end."""
    for one in _below({process}) - {process}:
        _kill(one)


def end_unattached(supervisors: set[int]) -> int:
    """Kill what carries this server's mark and is neither below it nor below its *supervisors*; return how many."""
    return _kill_all(lambda: _unattached(supervisors))


def end_orphans(patience: float = 1.0) -> int:
    """Kill the processes of servers that have ended, and return how many.

    Their supervisors do that by themselves, so they get *patience* seconds for it first.
    """
    until = time.monotonic() + patience
    while (found := _orphans()) and time.monotonic() < until:
        time.sleep(0.02)
    return _kill_all(_orphans) if found else 0


def _kill_all(find: Callable[[], set[int]]) -> int:
    killed: set[int] = set()
    until = time.monotonic() + _LONGEST
    while (found := find()) and time.monotonic() < until:
        for process in found:
            _kill(process)
        killed |= found
        time.sleep(_PAUSE)
    return len(killed)


def _unattached(supervisors: set[int]) -> set[int]:
    found = {process for process, owner in _marked() if owner == mark()}
    return found - _below({os.getpid(), *supervisors}) if found else found


def _orphans() -> set[int]:
    return {process for process, owner in _marked() if _is_dead(owner)}


def _is_dead(owner: str) -> bool:
    """Return whether a mark names a server of this PID namespace that has ended."""
    space, number, birth = (*owner.split("."), "", "")[:3]
    return space == _pid_namespace() and number.isdecimal() and _start_time(int(number)) != birth


def _marked() -> Iterator[tuple[int, str]]:
    """Return every process that carries a mark, and its mark."""
    start = f"{MARK}=".encode()
    for process in _all():
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            environment = _read(f"/proc/{process}/environ")
            if start in environment:
                for one in environment.split(b"\0"):
                    if one.startswith(start) and _start_time(process):
                        yield process, one.removeprefix(start).decode("ascii", "replace")


def _below(roots: set[int]) -> set[int]:
    """Return *roots* and every process that descends from them."""
    children: dict[int, list[int]] = {}
    for process in _all():
        if (fields := _stat(process)) is not None:
            children.setdefault(int(fields[_PARENT]), []).append(process)
    found, new = set(roots), list(roots)
    while new:
        new = [child for process in new for child in children.get(process, ()) if child not in found]
        found.update(new)
    return found


def _children(tasks: Path = _PROC / "self" / "task") -> list[int]:
    """Return the children of this process, of whichever thread they are.

    A thread may end meanwhile: then another one has its children, and the next call finds them.
    """
    found: list[int] = []
    for thread in os.listdir(tasks):  # noqa: PTH208  (names suffice; a Path for each costs time)
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, (tasks / thread / "children").read_text().split())
    return found


def _all() -> Iterator[int]:
    return (int(name) for name in os.listdir(_PROC) if name.isdecimal())  # noqa: PTH208  (twice as fast as Path)


def _start_time(process: int) -> str:
    """Return the start time of a process in ticks; empty if there is none, or if it has ended and is not reaped."""
    fields = _stat(process)
    return "" if fields is None or fields[_STATE] in "ZX" else fields[_START]


def _stat(process: int) -> list[str] | None:
    try:
        text = _read(f"/proc/{process}/stat").decode("utf-8", "replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the name before it may contain anything


def _read(path: str) -> bytes:
    """Return the content of a file; a start of the server reads one for each process of the machine."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while part := os.read(descriptor, 1 << 16):
            data += part
        return data
    finally:
        os.close(descriptor)


@cache
def _pid_namespace() -> str:
    return str((_PROC / "self" / "ns" / "pid").stat().st_ino)


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
