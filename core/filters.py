"""What a filter is, and the whole world that it sees.

A filter runs in a worker process of its own, in a process group of its own, with a private folder. What must hold:

* it looks at its token: before each document, and around each slow call;
* nothing of it is visible at a destination before `FilterContext.publish` let it in, and then at once and whole;
* running it twice for the same job does no harm, since a crash may have come between two runs.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

from postscan.core import placing, tools
from postscan.core.cancellation import CancellationToken, Cancelled
from postscan.core.changes import Changes
from postscan.core.model import file_names
from postscan.core.model.principal import User
from postscan.core.model.states import FilterReason

API = 1
"""The version of this contract. A filter that declares another one is not loaded."""


class FilterFailed(Exception):
    """The filter could not do its work.

    `reason` is one of `FilterReason`, or one of the author's own written `prefix:name`; `detail` is a sentence for
    the administrator: what was wrong, and what was expected.
    """

    def __init__(self, reason: str = FilterReason.UNKNOWN_ERROR, detail: str = "", *more: str) -> None:
        super().__init__(detail or reason)
        self.reasons = (reason, *more)
        self.detail = detail

    @classmethod
    def of(cls, failures: Sequence[FilterFailed]) -> FilterFailed:
        """Return one failure that tells of all: each reason once, the sentences one after another."""
        reason, *more = dict.fromkeys(reason for failure in failures for reason in failure.reasons)
        return cls(reason, "; ".join(failure.detail for failure in failures), *more)


@dataclass(frozen=True, slots=True)
class FilterResult:
    """What a filter may return: nothing went wrong, but somebody should know this."""

    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """One image file as a filter sees it.

    `format` is the protocol's keyword (`png`, `tiff-single-g4` ...), `size` in bytes, `sha256` in hex. `path` is
    readable and belongs to the server: never change it. `name` is the file name that the document should get.
    """

    id: int
    format: str
    size: int
    sha256: str
    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class JobFacts:
    """The job that a filter works for."""

    token: str
    process: str
    created: datetime


class Parent(Protocol):
    """The server's side of a filter run, behind a pipe (or right here, in a test)."""

    def grant(self, document: int | None, destination: str, name: str) -> bool:
        """Ask for leave to make an output visible; False once the job was cancelled."""

    def published(self, document: int | None, destination: str, name: str) -> None:
        """Tell that a granted output is visible now."""

    def withdrawn(self, document: int | None, destination: str, name: str) -> None:
        """Tell that a granted output did not become visible."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Tell how far the filter is."""

    def log(self, level: str, text: str) -> None:
        """Write a line into the server's log."""


@dataclass(frozen=True)
class FilterContext:
    """Everything that a filter knows and may do.

    `instructions` is an instance of the filter's `Instructions`; or, if it declares none, its element of the scan
    process as XML: no DTD, no entities. `settings` is an instance of its `Settings`, or the plain table if it declares
    none.
    `workdir` is private to this run and removed after it.
    """

    job: JobFacts
    user: User
    instructions: Any
    settings: Any
    workdir: Path
    token: CancellationToken
    parent: Parent
    all_documents: tuple[Document, ...]
    earlier: Mapping[tuple[int | None, str], str] = field(default_factory=dict)

    @cached_property
    def changes(self) -> Changes:
        """What was replaced, added and removed so far."""
        return Changes(((one.id, one.format) for one in self.all_documents), self.workdir)

    @property
    def documents(self) -> Iterator[Document]:
        """The job's documents by ascending id; checks the token before each and after the last."""
        for done, document in enumerate(self.all_documents):
            self.token.check()
            yield document
            self.progress(done + 1, len(self.all_documents), "documents")
        self.token.check()

    def replace(self, document: Document, path: Path, format: str = "") -> None:
        """Let the filters after this one see another file in place of *document*; its *format*, if that is another.

        The file must be finished; one in the `workdir` is taken away from there. This and the next two calls count when
        the filter has come to a good end, and not before; what the device sent stays as it is.
        """
        self.changes.replace(document.id, path, format or document.format)

    def add(self, path: Path, format: str, after: Document | None = None) -> None:
        """Let the filters after this one see one more document, as the last one or right behind another."""
        self.changes.add(path, format, after.id if after else None)

    def remove(self, document: Document) -> None:
        """Let the filters after this one not see *document*."""
        self.changes.remove(document.id)

    def run_tool(
        self, command: Sequence[str | os.PathLike[str]], *, environment: Mapping[str, str] | None = None
    ) -> tools.ToolEnded:
        """Run another program in the `workdir` and return how it ended; a cancel ends it.

        Raises `FilterFailed` if it cannot be started.
        """
        try:
            return tools.run(self.token, command, self.workdir, environment or {})
        except OSError as error:
            raise FilterFailed(detail=f"{command[0]} cannot be started: {error.strerror or error}") from error

    @contextlib.contextmanager
    def publish(self, document: Document | None, destination: str, name: str) -> Iterator[None]:
        """Let the body make one output visible: rename, link, send or post it, and nothing that takes long.

        The server is asked first, and records what the body is about to do; after a cancel it refuses, and this
        raises `Cancelled`. The body itself is shielded. `document` is None for an output of the whole job.
        """
        about = (document.id if document else None, destination, name)
        self.token.check()
        if not self.parent.grant(*about):
            raise Cancelled("the job was cancelled before this output was granted")
        with self.token.shield():
            try:
                yield
            except BaseException:
                self.parent.withdrawn(*about)
                raise
            self.parent.published(*about)

    @property
    def user_folder(self) -> str:
        """The name of the user's own folder below a destination; no two users share one."""
        return file_names.user_folder(self.user.name)

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
        """Put a file into a folder: whole, under a name that was free, and known to the server; return its path.

        Copies `source` (the document itself if none is given) beside its place, then publishes it under `name` (the
        document's own), or `name-2`, `name-3` ... if somebody else has that. A delivery that an earlier, crashed run
        of this filter made is recognised and not repeated. Raises `OSError` as the file system does.

        `below` names folders inside `folder`, one in the other. The last is made if it is missing, and none of them
        may be a symbolic link: whoever may write into `folder` must not be able to lead the file elsewhere.
        """
        return placing.place(
            self, document, folder, below, source or document.path, name or document.name, destination or str(folder)
        )

    def progress(self, done: int, total: int, unit: str) -> None:
        """Tell people how far the filter is; cheap enough for every page."""
        self.parent.progress(done, total, unit)

    def log(self, text: str, level: str = "info") -> None:
        """Write a line into the server's log, beside the job's token; `level` as in `logging`."""
        self.parent.log(level, text)


class Filter(ABC):
    """Base of all filters.

    `dialect` is the namespace URI by which scan processes name the filter; `title` is for people. `grace` is how
    many seconds the filter may take to stop after a cancel (the server caps it).

    `Instructions`, if given, is a dataclass of what a scan process may ask of the filter (`postscan.core.typed`); the
    server checks each job by it before it makes the job. `Settings`, if given, is a dataclass that takes the table
    `[filters.<plugin>]` as keyword arguments. Both may raise `ValueError` for a bad value.
    """

    dialect: ClassVar[str]
    title: ClassVar[str]
    api: ClassVar[int] = API
    grace: ClassVar[float] = 5.0
    Instructions: ClassVar[type | None] = None
    Settings: ClassVar[type | None] = None

    def requires(self) -> Iterable[str]:
        """Return one sentence for each thing that this machine lacks; nothing if the filter can work here."""
        return ()

    def check(self, instructions: Any) -> None:  # noqa: B027  (most filters have nothing to add)
        """Judge what a job asks of the filter: an instance of `Instructions`, or its XML if there is none.

        Raise `ValueError` with a sentence if the filter cannot do that, for what `Instructions` cannot say by itself.
        Called in a worker process before the job is made, for at most 2 s, and again before each run: so judge the
        instructions, not the world around them.
        """

    def diagnose(self, job: FilterContext) -> Iterable[str]:
        """Return one sentence for each thing that would keep documents from where the instructions send them.

        Called for `postscan doctor`, in a worker process, for at most 10 s. `job` is as in `run`, but has no documents
        and a user who is nobody, and it publishes nothing: connect, log in, look, and deliver nothing.
        """
        return ()

    @abstractmethod
    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Do the work for one job. Raise `FilterFailed` if it cannot be done; let `Cancelled` through."""
