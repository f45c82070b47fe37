"""What a filter does to the world around it while it runs, written down as it happens.

A `RunMonitor` stands between `run_filter` and a filter's `run`, in a process that ends afterwards
(`postscan.plugins.testing.sandbox`):
Python's audit events show what it writes, and where it connects to; a token, a context and a parent of its own pass
everything on to those of the run and note what they saw. A fact is a word and a value:

    began        True                           run was called
    looked       True                           it looked at its token
    cancelled    True                           the cancel had come at such a look
    told         True                           `Cancelled` was raised to it
    said         text                           for the log, or as progress
    published    document, destination, name    an output became visible
    made         path                           written while it delivered or published
    appended     path                           written so at the end of what was there
    temporary    path                           created directly in a folder for temporary files
    outside      path                           written anywhere else outside of its workdir
    astray       path                           the same, after the cancel
    after        deed                           begun in another way after the cancel
    late         seconds                        it stopped that long after its grace time
    changed      sentence                       a global state of the process that is not as it was
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

Run = Callable[[FilterContext, CancellationToken], FilterResult | None]
Place = tuple[Any, int]
"""A path, and the open folder from which it counts; -1 for the current directory."""

_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_HERE: Final = -1
_TOUCHED: Final[Mapping[str, Callable[..., Sequence[Place]]]] = {
    "open": lambda path, _mode, flags: [(path, _HERE)] if flags & _WRITING and not _is_folder(path) else [],
    "os.mkdir": lambda path, _mode, folder: [] if _there(path, folder) else [(path, folder)],
    "os.rename": lambda source, target, here, there: [(source, here), (target, there)],
    "os.link": lambda _source, target, _here, there: [(target, there)],
    "os.symlink": lambda _source, target, there: [(target, there)],
    "os.remove": lambda path, folder: [(path, folder)] if _there(path, folder) else [],
    "os.rmdir": lambda path, folder: [(path, folder)] if _there(path, folder) else [],
    "os.truncate": lambda path, _length: [(path, _HERE)],
    "os.chmod": lambda path, _mode, folder: [(path, folder)],
    "os.chown": lambda path, _user, _group, folder: [(path, folder)],
}
"""Which audit events change files, and the places that they change."""

_SLACK: Final = 2.0  # seconds: as long as the server waits from SIGTERM to SIGKILL unless it is told otherwise
TEMPORARY: Final = frozenset({"/tmp", "/var/tmp", os.path.realpath(tempfile.gettempdir())})  # noqa: S108  (looked for)


class FactLog:
    """Facts, one a line, each once, in a file that several processes write."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._noted: set[str] = set()

    def note(self, word: str, value: Any = True) -> None:
        """Write a fact down at once, so that it is known even if this process is killed."""
        line = json.dumps([word, value]) + "\n"
        if line not in self._noted:
            self._noted.add(line)
            os.write(self._descriptor, line.encode())


class RunMonitor:
    """Sees one run. *home* becomes the home directory."""

    def __init__(self, book: FactLog, home: Path) -> None:
        self.book = book
        self._home = home
        self._watching = False
        self._delivering = 0
        self._free: tuple[str, ...] = ()
        self._token: CancellationToken | None = None
        self._spoken: set[Any] = set()
        self._temporary: set[str] = set()

    def run(self, run: Run, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Call a filter's *run* in a place like that of a worker, and watch it."""
        self._settle_in(job.workdir)
        self._token = token
        watched = _Context(**{one.name: getattr(job, one.name) for one in fields(FilterContext)}, witness=self)
        object.__setattr__(watched, "parent", _Parent(job.parent, self))
        object.__setattr__(watched, "token", _Token(token, self.book))
        vars(watched)["changes"] = job.changes
        before = _state()
        self.book.note("began")
        sys.addaudithook(self._hear)
        self._watching = True
        try:
            return run(watched, watched.token)
        finally:
            self._watching = False
            late = time.monotonic() - token.deadline if token.deadline else 0.0
            if late > _SLACK:
                self.book.note("late", round(late, 1))
            if self.cancelled:
                self.book.note("cancelled")
            for sentence in _differences(before, _state()):
                self.book.note("changed", sentence)
            os.chdir("/")  # the workdir is about to go

    @property
    def cancelled(self) -> bool:
        """Whether the cancel has come; this is no look at the token."""
        return self._token is not None and self._token.deadline is not None

    @property
    def delivers(self) -> bool:
        """Whether the filter is inside `deliver` or `publish`, in whichever thread."""
        return self._delivering > 0

    @contextlib.contextmanager
    def delivering(self) -> Iterator[None]:
        """Let the body write where it likes."""
        self._delivering += 1
        try:
            yield
        finally:
            self._delivering -= 1

    def _settle_in(self, workdir: Path) -> None:
        os.chdir(workdir)
        os.umask(0o027)
        os.environ.update(HOME=str(self._home), TMPDIR=str(workdir))
        tempfile.tempdir = str(workdir)
        self._free = (os.path.realpath(workdir), "/dev", "/proc")

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Judge an audit event; this is called for everything that the interpreter does."""
        if not self._watching:
            return
        if event == "socket.connect":
            self._connected(arguments[1])
        elif event in _TOUCHED:
            opened = event == "open"
            appending = opened and bool(arguments[2] & os.O_APPEND)
            for path, folder in _TOUCHED[event](*arguments):
                if isinstance(path, str | bytes | os.PathLike):  # and no open file, which was judged before
                    self._touched(_resolved(path, folder, follow=opened), appending)

    def _touched(self, path: str, appending: bool) -> None:
        if any(path == free or path.startswith(f"{free}/") for free in self._free) or "__pycache__" in path:
            return
        if self.delivers:
            self.book.note("appended" if appending else "made", path)
        elif temporary := self._new_and_temporary(path):
            self.book.note("temporary", temporary)
        else:
            self.book.note("astray" if self.cancelled else "outside", path)

    def _new_and_temporary(self, path: str) -> str:
        """Return what of *path* lies directly in a folder for temporary files, if this filter made it; else nothing."""
        for root in TEMPORARY:
            if path.startswith(f"{root}/"):
                top = f"{root}/{path.removeprefix(f'{root}/').partition('/')[0]}"
                if top in self._temporary or not os.path.lexists(top):
                    self._temporary.add(top)
                    return top
        return ""

    def _connected(self, address: Any) -> None:
        """Note a connection that begins something: one that goes where it has been before may be there to clean up."""
        if not isinstance(address, tuple):
            return  # a socket of this machine
        peer = address[:2]
        if self.cancelled and not self.delivers and peer not in self._spoken:
            self.book.note("after", f"connected to {peer[0]}, port {peer[1]}")
        self._spoken.add(peer)


class _Token(CancellationToken):
    """The run's own token; whoever looks at it is noted."""

    def __init__(self, token: CancellationToken, book: FactLog) -> None:
        self._token = token
        self._book = book

    @property
    def cancelled(self) -> bool:
        with self._noting():
            return self._token.cancelled

    @property
    def reason(self) -> str:
        return self._token.reason

    @property
    def deadline(self) -> float | None:
        return self._token.deadline

    def check(self) -> None:
        with self._noting():
            self._token.check()

    def wait(self, seconds: float) -> bool:
        with self._noting():
            return self._token.wait(seconds)

    @contextlib.contextmanager
    def calling(self, stop: Callable[[], object]) -> Iterator[None]:
        with self._noting(), self._token.calling(stop):
            yield

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        with self._token.shield():
            yield

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        self._book.note("looked")
        try:
            yield
        except Cancelled:
            self._book.note("told")
            raise
        finally:
            if self._token.deadline is not None:
                self._book.note("cancelled")


class _Parent:
    """The run's own parent; what it hears is noted."""

    def __init__(self, parent: Parent, witness: RunMonitor) -> None:
        self._parent = parent
        self._witness = witness

    def grant(self, document: int | None, destination: str, name: str) -> bool:
        if self._witness.cancelled and not self._witness.delivers:
            self._witness.book.note("after", f"asked for leave to show {name}, around job.publish")
        return self._parent.grant(document, destination, name)

    def published(self, document: int | None, destination: str, name: str) -> None:
        self._witness.book.note("published", [document, destination, name])
        self._parent.published(document, destination, name)

    def withdrawn(self, document: int | None, destination: str, name: str) -> None:
        self._parent.withdrawn(document, destination, name)

    def progress(self, done: int, total: int, unit: str) -> None:
        self._witness.book.note("said", str(unit))
        self._parent.progress(done, total, unit)

    def log(self, level: str, text: str) -> None:
        self._witness.book.note("said", str(text))
        self._parent.log(level, text)


@dataclass(frozen=True)
class _Context(FilterContext):
    """The run's own context; what is written inside `deliver` and `publish` is written by leave."""

    witness: RunMonitor = field(kw_only=True)

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
        with self.witness.delivering():
            path = super().deliver(document, folder, below=below, source=source, name=name, destination=destination)
        self.witness.book.note("made", os.path.realpath(path))
        return path

    @contextlib.contextmanager
    def publish(self, document: Document | None, destination: str, name: str) -> Iterator[None]:
        with self.witness.delivering(), super().publish(document, destination, name):
            yield


def _resolved(path: str | bytes | os.PathLike[Any], folder: int, *, follow: bool = False) -> str:
    """Return where a path leads; its last component as it stands, unless a link in its place would be followed."""
    base = Path("/proc/self") / ("cwd" if folder == _HERE else f"fd/{folder}")
    full = base.resolve() / os.fsdecode(path)
    return str(full.resolve() if follow else full.parent.resolve() / full.name)


def _is_folder(path: Any) -> bool:
    """Return whether a file that is opened there would have no name; `tempfile` also says so before it takes one."""
    return not isinstance(path, int) and os.path.isdir(path)  # noqa: PTH112  (it may be bytes)


def _there(path: Any, folder: int) -> bool:
    return os.path.lexists(_resolved(path, folder))


def _state() -> dict[str, Any]:
    """Return the global state of this process that a filter must leave as it is."""
    return {
        "the current directory": os.readlink("/proc/self/cwd"),  # noqa: PTH115  (it may be gone)
        "the umask": next(line for line in _lines("/proc/self/status") if line.startswith("Umask:")),
        "the environment": dict(os.environ),
        "the signal handlers": {number.name: signal.getsignal(number) for number in signal.Signals},
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text("utf-8", "replace").splitlines()


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[str]:
    """Return what is not as it was; of the environment the names alone, since its values may be secret."""
    for name, was in before.items():
        now = after[name]
        if was == now:
            continue
        if isinstance(was, dict):
            changed = sorted(key for key in {*was, *now} if was.get(key) != now.get(key))
            yield f"{name} ({', '.join(changed)})"
        else:
            yield name
