"""One run of a filter in a process of its own, which is watched, and ended if it does not end.

    the caller ── watcher ── runner ── tools, daemons, and whatever else the filter starts

The runner is a fork of the caller, so a filter may be any object, and whatever it does to its process ends with it. It
is `run_filter` with a witness beside it. The watcher adopts what the runner leaves behind, and ends it. Both write
facts into one file, as the witness does (`postscan.plugins.testing.monitor`), and add these:

    lacks        text       what this machine lacks for the filter
    outcome      state      how the run ended
    checks       number     how often it looked at its token
    changes      True       the filters afterwards would get other documents
    warned       text       a warning of its result
    failed       text       what it says of its failure, what it raised, or why it could not begin
    died         text       how its process ended by itself
    killed       seconds    it had not ended after that time
    left         command    a process that was still there when the run was over
    lies         path       a temporary file or folder that was still there
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

LONGEST: Final = 60.0
"""Seconds that a run may take."""

_PAUSE: Final = 0.002
_LEAVING: Final = 1.0  # seconds for what ends by itself when the filter has
_SWEEPING: Final = 30.0  # seconds for the watcher to end what is left
_PRINTED: Final = 16 << 20  # bytes of what is printed that are kept


@dataclass(frozen=True)
class SandboxOrder:
    """What to run, as `run_filter` takes it, and how many seconds it may take."""

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
    """What was seen of one run: the values of each fact, what was printed, and how many seconds it took."""

    facts: Mapping[str, list[Any]]
    printed: str
    seconds: float

    def all(self, word: str) -> list[Any]:
        """Return every value of a fact in their order."""
        return list(self.facts.get(word, ()))

    def first(self, word: str) -> Any:
        """Return the first value of a fact; None if it was not seen."""
        return next(iter(self.facts.get(word, ())), None)

    @property
    def succeeded(self) -> bool:
        """Whether the filter came to a good end."""
        return self.first("outcome") in (FilterState.SUCCEEDED, FilterState.WARNINGS)

    @property
    def published(self) -> tuple[Published, ...]:
        """The outputs that became visible, in their order."""
        return tuple((document, destination, name) for document, destination, name in self.all("published"))


def run(order: SandboxOrder) -> RunRecord:
    """Carry out an order and return what was seen. This process stays as it is, whatever the filter does."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="postscan-trial-") as folder,
        tempfile.TemporaryFile() as book,
        tempfile.TemporaryFile() as printed,
    ):
        lair = Path(folder)
        for name in ("home", "tmp"):
            (lair / name).mkdir()
        watcher = _forked(functools.partial(_watch, order, lair, book.fileno(), printed.fileno()))
        code = _see_to_its_end(watcher, order.seconds + _LEAVING + _SWEEPING)
        seconds = time.monotonic() - began
        book.seek(0)
        printed.seek(0)
        facts = _what_lies_about(_facts(book), lair / "home")
        if code != 0:
            facts["died"] = ["it stopped or killed the process above it"]
        return RunRecord(facts, printed.read(_PRINTED).decode("utf-8", "replace"), seconds)


def _watch(order: SandboxOrder, lair: Path, book: int, printed: int) -> None:
    """Be the watcher."""
    os.setsid()
    orphans.adopt_orphans()
    facts = FactLog(book)
    runner = _forked(functools.partial(_run, order, lair, book, printed))
    code = _ended(runner, order.seconds)
    if code is None:
        facts.note("killed", order.seconds)
    else:
        if code:
            facts.note("died", signal.Signals(-code).name if code < 0 else f"exit code {code}")
        for command in _left():
            facts.note("left", command)
    orphans.sweep()


def _run(order: SandboxOrder, lair: Path, book: int, printed: int) -> None:
    """Be the runner."""
    os.setpgid(0, 0)
    _redirect(printed)
    tempfile.tempdir = str(lair / "tmp")
    facts = FactLog(book)
    try:
        _tell(order, facts, RunMonitor(facts, lair / "home"))
    except BaseException as error:  # noqa: BLE001  (a filter may raise anything)
        facts.note("failed", f"{type(error).__name__}: {error}")
    finally:
        sys.stdout.flush()


def _tell(order: SandboxOrder, facts: FactLog, witness: RunMonitor) -> None:
    """Run the filter, and note what the server would hear."""
    filter = order.filter
    if lacks := list(filter.requires()):
        facts.note("lacks", " ".join(map(str, lacks)))
        return
    vars(filter)["run"] = functools.partial(witness.run, filter.run)  # in this process only, which ends soon
    result = run_filter(
        filter,
        order.files,
        instructions=order.instructions,
        settings=order.settings,
        user=order.user,
        cancel_at=order.cancel_at,
        earlier=order.earlier,
    )
    facts.note("outcome", result.outcome)
    facts.note("checks", result.checks.number)
    if result.documents is not None:
        facts.note("changes")
    for warning in result.warnings:
        facts.note("warned", str(warning))
    if result.outcome is FilterState.ERRORS:
        facts.note("failed", str(result.detail) or ", ".join(result.reasons))


def _redirect(printed: int) -> None:
    """Let everything that is printed, or logged as a worker logs, go into a file."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, stream in ((nothing, 0), (printed, 1), (printed, 2)):
        os.dup2(source, stream)
    sys.stdout = sys.stderr = open(1, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115  (for good)
    logging.root.handlers = [logging.StreamHandler()]
    logging.root.setLevel(logging.WARNING)


def _forked(do: Callable[[], None]) -> int:
    """Do something in a child that dies with this process; return its number."""
    parent = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons frown at a fork beside threads
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        gc.freeze()  # what the caller has forgotten is the caller's to finalise
        orphans.die_with(parent)
        do()
        code = 0
    finally:
        os._exit(code)  # threads that a filter left running are not waited for


def _ended(child: int, seconds: float) -> int | None:
    """Wait for a child and return its exit code, negative for a signal; None if it still runs after that time."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(_PAUSE)


def _see_to_its_end(watcher: int, seconds: float) -> int | None:
    """Wait for the watcher and return its exit code.

    If it does not end, or if we are interrupted, it is ended with what stands below it.
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
    """Return the commands of the children that this process has adopted and that do not end by themselves."""
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


def _facts(book: IO[bytes]) -> dict[str, list[Any]]:
    """Return the facts by their word; a line that a killed process could not finish does not count."""
    facts = defaultdict(list)
    for line in book:
        with contextlib.suppress(ValueError):
            word, value = json.loads(line)
            facts[word].append(value)
    return dict(facts)


def _what_lies_about(facts: dict[str, list[Any]], home: Path) -> dict[str, list[Any]]:
    """Sort what was written by what is still there of it, now that the run is over."""
    temporary = facts.pop("temporary", [])
    facts["lies"] = [path for path in temporary if os.path.lexists(path)]
    facts["made"] = [path for path in facts.get("made", ()) if os.path.lexists(path) and not Path(path).is_dir()]
    outside = [path for path in (*facts.get("outside", ()), *temporary, *_files(home)) if path not in facts["lies"]]
    facts["outside"] = list(dict.fromkeys(path.replace(os.path.realpath(home), "~") for path in outside))
    return facts


def _files(home: Path) -> Iterator[str]:
    """Yield what a tool, whose doings nobody sees, has left in the home directory."""
    return (os.path.realpath(path) for path in home.rglob("*") if not path.is_dir())
