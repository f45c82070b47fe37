"""One run of a filter in a process of its own, which is killed if it does not end in time.

    caller ── watcher ── runner ── tools, daemons and other processes that the filter starts

The runner is a fork of the caller, so a filter may be any object, and changes of its process end with it. It calls
`run_filter` with a `RunMonitor`. The watcher adopts the processes that the runner leaves behind, and ends them. Both
add facts to those of the monitor (`postscan.plugins.testing.monitor`), in the same file:

    lacks        text       a requirement of the filter that this machine does not meet
    outcome      state      the state of the filter after the run
    checks       number     of checks of the token
    changes      True       later filters would get other documents
    warned       text       a warning of the result
    failed       text       the detail of the failure, or an exception
    died         text       the exit of a process that ended by itself
    killed       seconds    the run had not ended after that time
    left         command    a process that was still running after the run
    leftover     path       a temporary file or folder that still existed after the run
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import logging
import os
import signal
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from postscan.core.filters.filter import Filter
from postscan.core.model.principal import User
from postscan.core.model.states import FilterState
from postscan.core.workers import orphans
from postscan.plugins.testing.monitor import FactLog, RunMonitor
from postscan.plugins.testing.runner import Published, run_filter
from postscan.plugins.testing.waiting import waited

LONGEST: Final = 60.0
"""Seconds that a run may take by default."""

_PAUSE: Final = 0.002
_LEAVING: Final = 1.0  # seconds for processes that end by themselves after the filter
_WAITING: Final = 60.0  # seconds for which the runner may wait for the processor beyond its own
_SWEEPING: Final = 30.0  # seconds for the watcher to end the processes that are left
_PRINTED: Final = 16 << 20  # bytes of the output that are kept


@dataclass(frozen=True)
class SandboxOrder:
    """The arguments of `run_filter`, and the seconds that the run may take."""

    filter: Filter
    files: Sequence[Path]
    instructions: Any
    settings: Mapping[str, Any]
    user: User
    earlier: tuple[Published, ...] = ()
    cancel_at: int | None = None
    seconds: float = LONGEST


@dataclass(frozen=True)
class RunRecord:
    """The record of one run: the values of each fact, the output, and the duration in seconds."""

    facts: Mapping[str, list[Any]]
    printed: str
    seconds: float

    def all(self, key: str) -> list[Any]:
        """Return the values of a fact in their order."""
        return list(self.facts.get(key, ()))

    def first(self, key: str) -> Any:
        """Return the first value of a fact; None if it was not recorded."""
        return next(iter(self.facts.get(key, ())), None)

    @property
    def succeeded(self) -> bool:
        """Whether the filter succeeded, with or without warnings."""
        return self.first("outcome") in (FilterState.SUCCEEDED, FilterState.WARNINGS)

    @property
    def published(self) -> tuple[Published, ...]:
        """The outputs that became visible, in their order."""
        return tuple((document, destination, name) for document, destination, name in self.all("published"))


def run(order: SandboxOrder) -> RunRecord:
    """Run a filter and return the record. The filter cannot change the state of this process."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="postscan-sandbox-") as sandbox,
        tempfile.TemporaryFile() as log,
        tempfile.TemporaryFile() as printed,
    ):
        root = Path(sandbox)
        for name in ("home", "tmp"):
            (root / name).mkdir()
        watcher = _forked(functools.partial(_watch, order, root, log.fileno(), printed.fileno()))
        code = _wait_or_kill(watcher, order.seconds + _WAITING + _LEAVING + _SWEEPING)
        seconds = time.monotonic() - began
        log.seek(0)
        printed.seek(0)
        facts = _sort_paths(_facts(log), root / "home")
        if code != 0:
            facts["died"] = ["it stopped or killed its parent process"]
        return RunRecord(facts, printed.read(_PRINTED).decode("utf-8", "replace"), seconds)


def _watch(order: SandboxOrder, root: Path, log: int, printed: int) -> None:
    """Run the watcher process."""
    os.setsid()
    orphans.adopt_orphans()
    facts = FactLog(log)
    runner = _forked(functools.partial(_run, order, root, log, printed))
    code = _ended(runner, order.seconds, waiting=_WAITING)
    if code is None:
        facts.add("killed", order.seconds)
    else:
        if code:
            facts.add("died", signal.Signals(-code).name if code < 0 else f"exit code {code}")
        for command in _left():
            facts.add("left", command)
    orphans.sweep()


def _run(order: SandboxOrder, root: Path, log: int, printed: int) -> None:
    """Run the runner process."""
    os.setpgid(0, 0)
    _redirect(printed)
    tempfile.tempdir = str(root / "tmp")
    facts = FactLog(log)
    try:
        _run_filter(order, facts, RunMonitor(facts, root / "home"))
    except BaseException as error:  # noqa: BLE001  (a filter may raise anything)
        facts.add("failed", f"{type(error).__name__}: {error}")
    finally:
        sys.stdout.flush()


def _run_filter(order: SandboxOrder, facts: FactLog, monitor: RunMonitor) -> None:
    """Run the filter, and record what the server would receive."""
    filter = order.filter
    if lacks := list(filter.requires()):
        facts.add("lacks", " ".join(map(str, lacks)))
        return
    vars(filter)["run"] = functools.partial(monitor.run, filter.run)  # this process ends after the run
    result = run_filter(
        filter,
        order.files,
        instructions=order.instructions,
        settings=order.settings,
        user=order.user,
        cancel_at=order.cancel_at,
        earlier=order.earlier,
    )
    facts.add("outcome", result.outcome)
    facts.add("checks", result.checks.number)
    if result.documents is not None:
        facts.add("changes")
    for warning in result.warnings:
        facts.add("warned", str(warning))
    if result.outcome is FilterState.ERRORS:
        facts.add("failed", str(result.detail) or ", ".join(result.reasons))


def _redirect(printed: int) -> None:
    """Redirect stdout, stderr and the log, in the format of a worker, to a file."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, stream in ((nothing, 0), (printed, 1), (printed, 2)):
        os.dup2(source, stream)
    sys.stdout = sys.stderr = open(1, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115  (open until the process ends)
    logging.root.handlers = [logging.StreamHandler()]
    logging.root.setLevel(logging.WARNING)


def _forked(do: Callable[[], None]) -> int:
    """Call a function in a child that dies with this process; return its process id."""
    parent = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn about a fork beside threads
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        gc.freeze()  # objects of the caller are not finalised here
        orphans.die_with(parent)
        do()
        code = 0
    finally:
        os._exit(code)  # without joining threads that the filter left running


def _ended(child: int, seconds: float, waiting: float = 0.0) -> int | None:
    """Wait for a child and return its exit code, negative for a signal; None after *seconds*.

    Those for which it waits for the processor do not count, up to *waiting* of them.
    """
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        late = time.monotonic() - until
        if late > 0 and late > min(waiting, waited(child)):
            return None
        time.sleep(_PAUSE)


def _wait_or_kill(watcher: int, seconds: float) -> int | None:
    """Wait for the watcher and return its exit code.

    After *seconds*, or on an exception such as KeyboardInterrupt, kill it and its descendants.
    """
    code = None
    try:
        code = _ended(watcher, seconds)
        return code
    finally:
        if code is None:
            orphans.end_below(watcher)
            os.kill(watcher, signal.SIGKILL)
            os.waitpid(watcher, 0)


def _left() -> list[str]:
    """Return the commands of the adopted children that do not end by themselves."""
    until = time.monotonic() + _LEAVING
    while time.monotonic() < until:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return []
        time.sleep(_PAUSE)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [_command(child) for child in children]


def _command(process: str) -> str:
    with contextlib.suppress(OSError):
        if words := Path(f"/proc/{process}/cmdline").read_bytes().rstrip(b"\0").split(b"\0"):
            return b" ".join(words).decode("utf-8", "replace")[:200]
    return f"process {process}"


def _facts(log: IO[bytes]) -> dict[str, list[Any]]:
    """Return the facts by key; an incomplete line of a killed process is skipped."""
    facts = defaultdict(list)
    for line in log:
        with contextlib.suppress(ValueError):
            key, value = json.loads(line)
            facts[key].append(value)
    return dict(facts)


def _sort_paths(facts: dict[str, list[Any]], home: Path) -> dict[str, list[Any]]:
    """Return the facts with paths that no longer exist left out, and temporary ones classified."""
    temporary = facts.pop("temporary", [])
    facts["leftover"] = [path for path in temporary if os.path.lexists(path)]
    facts["made"] = [path for path in facts.get("made", ()) if os.path.lexists(path) and not Path(path).is_dir()]
    outside = [path for path in (*facts.get("outside", ()), *temporary, *_files(home)) if path not in facts["leftover"]]
    facts["outside"] = list(dict.fromkeys(path.replace(os.path.realpath(home), "~") for path in outside))
    return facts


def _files(home: Path) -> Iterator[str]:
    """Yield the files in the home directory, where a tool may have written unobserved."""
    return (os.path.realpath(path) for path in home.rglob("*") if not path.is_dir())
