"""End every process of a test session when it ends, and remove its temporary files; finished, interrupted, or killed.

Each process of pytest, controller or worker of xdist, starts a guard: this file as a program in a session of its own,
which Ctrl-C does not reach. The guard reads from a pipe whose other end only that process holds. When the pipe is
closed, it kills every process whose environment has the mark of that process, and everything below; the environment
is inherited by all that the tests start, daemons included. The mark of a worker begins with that of the controller,
so the guard of the controller ends the workers too. It then removes the folder that it made for the temporary files of
all of them: a killed server removes none, and the workers end without a last word.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

MARK = "SUITE_RUN"
"""The environment variable that every process of a test session has."""

FOLDER = "suite-"
"""How the name of the folder for temporary files begins; the number of the process follows."""

TEMPLATES = "SUITE_TEMPLATES"
"""The environment variable that names the folder of `templates.py`; a session within another one uses that one's."""

LEAVE_SECONDS = 1.0
"""Time for an interrupted session to tear down its fixtures before the guard kills what is left."""

_INTERRUPTED = b"i"
_MOST_SECONDS = 10.0


class Guard:
    """The guard of this process. It is not waited for: it works when this process has ended."""

    def __init__(self) -> None:
        above = os.environ.get(MARK, "")
        os.environ[MARK] = mark_of(above, os.getpid())
        reading, self._pipe = os.pipe()
        folder = [] if "PYTEST_XDIST_WORKER" in os.environ else [_own_temporary_folder()]
        command = [sys.executable, "-I", "-S", __file__, os.environ[MARK], *folder]
        clean = {name: value for name, value in os.environ.items() if name != MARK}
        as_input = [(os.POSIX_SPAWN_DUP2, reading, 0)]
        os.posix_spawn(command[0], command, clean, file_actions=as_input, setsid=True)
        os.close(reading)

    def interrupted(self) -> None:
        """Let the guard kill everything `LEAVE_SECONDS` from now."""
        os.write(self._pipe, _INTERRUPTED)


def _own_temporary_folder() -> str:
    """Let this process and all below have their temporary files in a folder of their own; return that.

    The folders of pytest stay where they are, to be looked at after a failure. Databases and some tests run as others.
    """
    above = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-", dir=above)
    Path(folder).chmod(0o1777)
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", above)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    if TEMPLATES not in os.environ:
        os.environ[TEMPLATES] = f"{folder}/templates"
        Path(folder, "templates").mkdir()
        Path(folder, "templates").chmod(0o755)  # PostgreSQL copies from there as another user
    return folder


@cache
def of_this_process() -> Guard:
    """Start the guard of this process; return it again at later calls, since pytest imports conftest more than once."""
    return Guard()


def mark_of(above: str, process: int) -> str:
    """Return the mark of a process of pytest whose parent has the mark *above*."""
    return f"{above}/{process}-{_birth(process)}"


def below(mark: str) -> dict[int, str]:
    """Return the processes whose mark is *mark* or begins with it, and all below them, but no zombies.

    The value is the birth of the process, in clock ticks since the machine started: a number may be used again.

    A filter clears the environment of its tools, so these have no mark.
    """
    start = f"{MARK}={mark}".encode()
    births: dict[int, str] = {}
    children: dict[int, list[int]] = {}
    found: set[int] = set()
    for process in map(int, filter(str.isdecimal, os.listdir("/proc"))):  # noqa: PTH208
        with contextlib.suppress(OSError):  # it has ended
            fields = _stat(process)
            if fields[0] in "ZX":
                continue
            births[process] = fields[19]
            children.setdefault(int(fields[1]), []).append(process)
            for one in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
                if one == start or one.startswith(start + b"/"):
                    found.add(process)
    new = list(found)
    while new:
        new = [child for process in new for child in children.get(process, ()) if child not in found]
        found.update(new)
    return {process: births[process] for process in found}


def _kill_all(mark: str) -> None:
    """Stop all processes first: one that loses its parent meanwhile would not be found again."""
    until = time.monotonic() + _MOST_SECONDS
    stopped: dict[int, int] = {}
    while (new := below(mark)).keys() - stopped.keys() and time.monotonic() < until:
        for process in new.keys() - stopped.keys():
            with contextlib.suppress(OSError):  # it has ended
                handle = os.pidfd_open(process)
                if _birth(process) == new[process]:
                    signal.pidfd_send_signal(handle, signal.SIGSTOP)
                    stopped[process] = handle
    for handle in stopped.values():
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)


def _birth(process: int) -> str:
    return _stat(process)[19]


def _stat(process: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat behind the name: the state, the parent, and so on."""
    return Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()


def main() -> None:
    """Wait for the end of the process that started this one, or for its interruption."""
    mark, *folders = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.read(0, 1) == _INTERRUPTED:
        select.select([0], [], [], LEAVE_SECONDS)
    _kill_all(mark)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
