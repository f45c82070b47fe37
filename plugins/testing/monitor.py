"""Records what a filter does to files, sockets and process state while it runs.

A `RunMonitor` calls a filter's `run` for `run_filter`, in a process that ends afterwards
(`postscan.plugins.testing.sandbox`). Python's audit events report files that are written and connections that are
opened; wrappers of token, context and parent pass each call on and record it. A fact is a key and a value:

    began                 True                           run was called
    checked               True                           the filter checked its token
    cancelled             True                           the job was cancelled at such a check
    raised                True                           `Cancelled` was raised in the filter
    text                  text                           of a log line, or the unit of a progress
    published             document, destination, name    an output became visible
    made                  path                           written inside deliver or publish
    appended              path                           the same, at the end of an existing file
    temporary             path                           created directly in a folder for temporary files
    outside               path                           written elsewhere outside of the workdir
    outside_after_cancel  path                           the same, after the cancel
    after                 action                         another action begun after the cancel
    late                  seconds                        the run ended that long after the grace period, without the
                                                         time for which its process waited for the processor
    changed               text                           global state of the process that was left changed
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from postscan.core.filters.cancellation import CancellationToken, Cancelled
from postscan.core.filters.context import FilterContext, Parent
from postscan.core.filters.facts import Document
from postscan.core.filters.results import FilterResult
from postscan.plugins.testing.waiting import waited

Run = Callable[[FilterContext, CancellationToken], FilterResult | None]
PathFrom = tuple[Any, int]
"""A path, and the descriptor of the folder that it is relative to; -1 for the current directory."""

_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_HERE: Final = -1
_CHANGING_EVENTS: Final[Mapping[str, Callable[..., Sequence[PathFrom]]]] = {
    "open": lambda path, _mode, flags: [(path, _HERE)] if flags & _WRITING and not _is_folder(path) else [],
    "os.mkdir": lambda path, _mode, folder: [] if _exists(path, folder) else [(path, folder)],
    "os.rename": lambda source, target, here, there: [(source, here), (target, there)],
    "os.link": lambda _source, target, _here, there: [(target, there)],
    "os.symlink": lambda _source, target, there: [(target, there)],
    "os.remove": lambda path, folder: [(path, folder)] if _exists(path, folder) else [],
    "os.rmdir": lambda path, folder: [(path, folder)] if _exists(path, folder) else [],
    "os.truncate": lambda path, _length: [(path, _HERE)],
    "os.chmod": lambda path, _mode, folder: [(path, folder)],
    "os.chown": lambda path, _user, _group, folder: [(path, folder)],
}
"""The audit events that change files, each with a function that returns the changed paths."""

_SLACK: Final = 2.0  # seconds: the default of `running.term_seconds`, from SIGTERM to SIGKILL
TEMPORARY: Final = frozenset({"/tmp", "/var/tmp", os.path.realpath(tempfile.gettempdir())})  # noqa: S108  (watched, not used)


class FactLog:
    """A file of facts, one JSON array a line, each once; several processes append to it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._recorded: set[str] = set()

    def add(self, key: str, value: Any = True) -> None:
        """Write a fact at once, so that it is kept if this process is killed."""
        line = json.dumps([key, value]) + "\n"
        if line not in self._recorded:
            self._recorded.add(line)
            os.write(self._descriptor, line.encode())


class RunMonitor:
    """Observes one run. *home* becomes the home directory."""

    def __init__(self, log: FactLog, home: Path) -> None:
        self.log = log
        self._home = home
        self._watching = False
        self._open_deliveries = 0
        self._free: tuple[str, ...] = ()
        self._token: CancellationToken | None = None
        self._peers: set[Any] = set()
        self._temporary: set[str] = set()
        self._waited_before: float | None = None  # the cancel

    def run(self, run: Run, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Call a filter's *run* in an environment like that of a worker, and record what it does."""
        self._enter_environment(job.workdir)
        self._token = token
        watched = _Context(**{one.name: getattr(job, one.name) for one in fields(FilterContext)}, monitor=self)
        object.__setattr__(watched, "parent", _Parent(job.parent, self))
        object.__setattr__(watched, "token", _Token(token, self))
        vars(watched)["changes"] = job.changes
        before = _state()
        self.log.add("began")
        sys.addaudithook(self._on_audit_event)
        self._watching = True
        try:
            return run(watched, watched.token)
        finally:
            self._watching = False
            if token.deadline is not None:
                self.record_cancel()
                late = time.monotonic() - token.deadline - self._waited_since_cancel()
                if late > _SLACK:
                    self.log.add("late", round(late, 1))
            for change in _differences(before, _state()):
                self.log.add("changed", change)
            os.chdir("/")  # the workdir is deleted next

    @property
    def cancelled(self) -> bool:
        """Whether the job is cancelled; this does not count as a check of the token."""
        return self._token is not None and self._token.deadline is not None

    def record_cancel(self) -> None:
        """Record that the job is cancelled, and how long the process has waited for the processor until then."""
        if self._waited_before is None:
            self._waited_before = waited()
        self.log.add("cancelled")

    def _waited_since_cancel(self) -> float:
        return waited() - (self._waited_before or 0.0)

    @property
    def is_delivering(self) -> bool:
        """Whether any thread of the filter is inside `deliver` or `publish`."""
        return self._open_deliveries > 0

    @contextlib.contextmanager
    def in_delivery(self) -> Iterator[None]:
        """Count what the body writes as delivered."""
        self._open_deliveries += 1
        try:
            yield
        finally:
            self._open_deliveries -= 1

    def _enter_environment(self, workdir: Path) -> None:
        os.chdir(workdir)
        os.umask(0o027)
        os.environ.update(HOME=str(self._home), TMPDIR=str(workdir))
        tempfile.tempdir = str(workdir)
        self._free = (os.path.realpath(workdir), "/dev", "/proc")

    def _on_audit_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Record what an audit event shows; the interpreter calls this for each of them."""
        if not self._watching:
            return
        if event == "socket.connect":
            self._record_connection(arguments[1])
        elif event in _CHANGING_EVENTS:
            opened = event == "open"
            appending = opened and bool(arguments[2] & os.O_APPEND)
            for path, folder in _CHANGING_EVENTS[event](*arguments):
                if isinstance(path, str | bytes | os.PathLike):  # a descriptor was recorded at its open
                    self._record_change(_resolved(path, folder, follow=opened), appending)

    def _record_change(self, path: str, appending: bool) -> None:
        if any(path == free or path.startswith(f"{free}/") for free in self._free) or "__pycache__" in path:
            return
        if self.is_delivering:
            self.log.add("appended" if appending else "made", path)
        elif temporary := self._created_temporary(path):
            self.log.add("temporary", temporary)
        else:
            self.log.add("outside_after_cancel" if self.cancelled else "outside", path)

    def _created_temporary(self, path: str) -> str:
        """Return the part of *path* directly in a folder for temporary files, if the filter created it; else empty."""
        for root in TEMPORARY:
            if path.startswith(f"{root}/"):
                top = f"{root}/{path.removeprefix(f'{root}/').partition('/')[0]}"
                if top in self._temporary or not os.path.lexists(top):
                    self._temporary.add(top)
                    return top
        return ""

    def _record_connection(self, address: Any) -> None:
        """Record a connection to a new peer after the cancel; one to a known peer may be needed to clean up."""
        if not isinstance(address, tuple):
            return  # a socket of this machine
        peer = address[:2]
        if self.cancelled and not self.is_delivering and peer not in self._peers:
            self.log.add("after", f"connected to {peer[0]}, port {peer[1]}")
        self._peers.add(peer)


class _Token(CancellationToken):
    """Passes on to the token of the run, and records checks."""

    def __init__(self, token: CancellationToken, monitor: RunMonitor) -> None:
        self._token = token
        self._monitor = monitor

    @property
    def cancelled(self) -> bool:
        with self._recording():
            return self._token.cancelled

    @property
    def reason(self) -> str:
        return self._token.reason

    @property
    def deadline(self) -> float | None:
        return self._token.deadline

    def check(self) -> None:
        with self._recording():
            self._token.check()

    def wait(self, seconds: float) -> bool:
        with self._recording():
            return self._token.wait(seconds)

    @contextlib.contextmanager
    def calling(self, stop: Callable[[], object]) -> Iterator[None]:
        with self._recording(), self._token.calling(stop):
            yield

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        with self._token.shield():
            yield

    @contextlib.contextmanager
    def _recording(self) -> Iterator[None]:
        self._monitor.log.add("checked")
        try:
            yield
        except Cancelled:
            self._monitor.log.add("raised")
            raise
        finally:
            if self._token.deadline is not None:
                self._monitor.record_cancel()


class _Parent:
    """Passes on to the parent of the run, and records calls."""

    def __init__(self, parent: Parent, monitor: RunMonitor) -> None:
        self._parent = parent
        self._monitor = monitor

    def grant(self, document: int | None, destination: str, name: str) -> bool:
        if self._monitor.cancelled and not self._monitor.is_delivering:
            self._monitor.log.add("after", f"asked for the grant of {name} without job.publish")
        return self._parent.grant(document, destination, name)

    def published(self, document: int | None, destination: str, name: str) -> None:
        self._monitor.log.add("published", [document, destination, name])
        self._parent.published(document, destination, name)

    def withdrawn(self, document: int | None, destination: str, name: str) -> None:
        self._parent.withdrawn(document, destination, name)

    def progress(self, done: int, total: int, unit: str) -> None:
        self._monitor.log.add("text", str(unit))
        self._parent.progress(done, total, unit)

    def log(self, level: str, text: str) -> None:
        self._monitor.log.add("text", str(text))
        self._parent.log(level, text)


@dataclass(frozen=True)
class _Context(FilterContext):
    """The context of the run, which counts what is written inside `deliver` and `publish` as delivered."""

    monitor: RunMonitor = field(kw_only=True)

    def deliver(
        self,
        document: Document,
        folder: Path,
        *,
        below: Sequence[str] = (),
        source: Path | None = None,
        name: str = "",
        destination: str = "",
    ) -> Path:
        with self.monitor.in_delivery():
            path = super().deliver(document, folder, below=below, source=source, name=name, destination=destination)
        self.monitor.log.add("made", os.path.realpath(path))
        return path

    @contextlib.contextmanager
    def publish(self, document: Document | None, destination: str, name: str) -> Iterator[None]:
        with self.monitor.in_delivery(), super().publish(document, destination, name):
            yield


def _resolved(path: str | bytes | os.PathLike[Any], folder: int, *, follow: bool = False) -> str:
    """Return the real path; a link as the last component is resolved only with *follow*."""
    base = Path("/proc/self") / ("cwd" if folder == _HERE else f"fd/{folder}")
    full = base.resolve() / os.fsdecode(path)
    return str(full.resolve() if follow else full.parent.resolve() / full.name)


def _is_folder(path: Any) -> bool:
    """Return whether *path* is a folder: a file opened in it is unnamed (O_TMPFILE), and `tempfile` probes for that."""
    return not isinstance(path, int) and os.path.isdir(path)  # noqa: PTH112  (it may be bytes)


def _exists(path: Any, folder: int) -> bool:
    return os.path.lexists(_resolved(path, folder))


def _state() -> dict[str, Any]:
    """Return the global state of this process that a filter must not leave changed."""
    return {
        "the current directory": os.readlink("/proc/self/cwd"),  # noqa: PTH115  (it may be gone)
        "the umask": next(line for line in _lines("/proc/self/status") if line.startswith("Umask:")),
        "the environment": dict(os.environ),
        "the signal handlers": {number.name: signal.getsignal(number) for number in signal.Signals},
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text("utf-8", "replace").splitlines()


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[str]:
    """Yield what changed; of the environment the names alone, since its values may be secret."""
    for name, was in before.items():
        now = after[name]
        if was == now:
            continue
        if isinstance(was, dict):
            changed = sorted(key for key in {*was, *now} if was.get(key) != now.get(key))
            yield f"{name} ({', '.join(changed)})"
        else:
            yield name
