"""What a running filter receives: documents, facts of its job, settings, and the calls that publish its output."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from postscan.core.filters import tools
from postscan.core.filters.cancellation import CancellationToken, Cancelled
from postscan.core.filters.delivery import folder as delivery_folder
from postscan.core.filters.delivery.changes import Changes
from postscan.core.filters.facts import Document, JobFacts
from postscan.core.filters.results import FilterFailed, reason_of
from postscan.core.model import file_names
from postscan.core.model.principal import User


class Parent(Protocol):
    """The server's side of a filter run, at the other end of a socket, or in this process in a test."""

    def grant(self, document: int | None, destination: str, name: str) -> bool:
        """Request the grant to make an output visible; False once the job was cancelled."""

    def published(self, document: int | None, destination: str, name: str) -> None:
        """Report that a granted output is visible now."""

    def withdrawn(self, document: int | None, destination: str, name: str) -> None:
        """Report that a granted output did not become visible."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Report how far the filter is."""

    def log(self, level: str, text: str) -> None:
        """Write a line into the server's log."""


@dataclass(frozen=True)
class FilterContext:
    """What a filter gets, and the calls that it may make.

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
        """The documents that were replaced, added and removed so far."""
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
        """Replace *document* by another file for the filters after this one; *format* is given if it differs.

        The file must be complete; one in the `workdir` is moved away from there. This and the next two calls take
        effect when the filter has succeeded, and not before; what the device sent stays as it is.
        """
        self.changes.replace(document.id, path, format or document.format)

    def add(self, path: Path, format: str, after: Document | None = None) -> None:
        """Add a document for the filters after this one, as the last or right behind another."""
        self.changes.add(path, format, after.id if after else None)

    def remove(self, document: Document) -> None:
        """Remove *document* for the filters after this one."""
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
            detail = f"{command[0]} cannot be started: {error.strerror or error}"
            raise FilterFailed(reason_of(error), detail) from error

    @contextlib.contextmanager
    def publish(self, document: Document | None, destination: str, name: str) -> Iterator[None]:
        """Let the body make one output visible: rename, link, send or post it; it must not take long.

        Requests the grant of the server first, which records what the body is about to do; after a cancel the server
        refuses, and this raises `Cancelled`. The body itself is shielded. `document` is None for an output of the whole
        job.
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
        """Put a file into a folder: complete, under a free name, and recorded by the server; return its path.

        Copies `source` (the document itself if none is given) beside its place, then publishes it under `name` (the
        document's own), or `name-2`, `name-3` ... if that is taken. A delivery that an earlier, crashed run
        of this filter made is recognised and not repeated. Raises `OSError` as the file system does.

        `below` names folders inside `folder`, one in the other. The last is made if it is missing, and none of them
        may be a symbolic link: a user who may write into `folder` must not be able to redirect the file.
        """
        return delivery_folder.deliver(
            self, document, folder, below, source or document.path, name or document.name, destination or str(folder)
        )

    def progress(self, done: int, total: int, unit: str) -> None:
        """Report how far the filter is; cheap enough for every page."""
        self.parent.progress(done, total, unit)

    def log(self, text: str, level: str = "info") -> None:
        """Write a line into the server's log and into that of the job; `level` as in `logging`."""
        self.parent.log(level, text)
