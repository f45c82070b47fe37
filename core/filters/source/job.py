"""A job that a source brings: the block in which its pages come."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from postscan.core.filters.cancellation import CancellationToken, Cancelled
from postscan.core.filters.source.connection import GONE, InletConnection
from postscan.core.filters.source.errors import Busy, Ended, Refused
from postscan.core.filters.source.messages import (
    NOTE,
    CancelRequest,
    EndRequest,
    FailRequest,
    InletStarted,
    LeaveRequest,
    NoteRequest,
    Outcome,
    PageRequest,
    ToldRequest,
)
from postscan.core.filters.source.page import PageWriter
from postscan.core.model import json_lines

_REMINDERS: Final = 4  # a page that comes slowly is announced so often within the silence that a job may have


class SourceJob:
    """A job from its creation to its end, which is the end of the block; several threads may bring its pages.

    `id` is its JobToken, and `token` is set when it is cancelled by others. Entering raises `Taken`, `Busy` or
    `Refused`. Leaving the block returns when the end is stored; without a page it cancels the job. An exception fails
    the job and goes on; if the job was cancelled meanwhile, `Ended` takes its place.
    """

    def __init__(
        self,
        connection: InletConnection,
        started: InletStarted,
        new_file: Callable[[], Path],
        about: Callable[[], dict[str, Any]],
    ) -> None:
        self._connection = connection
        self._started = started
        self._new_file = new_file
        self._about = about
        self._has_pages = False
        self._over = False

    def __enter__(self) -> Self:
        self.id, source = self._connection.open(**self._about())
        self.token: CancellationToken = source.token()
        return self

    def page(self, format: str = "", *, whole: bool = False) -> PageWriter:
        """Lend a writer of the next page; leaving its block makes the page durable.

        *format* is the keyword that the origin gave, "" to go by the content. *whole* says that the protocol itself
        marks the end of the page; a file whose structure says that it is cut is refused all the same.
        """
        return PageWriter(
            self,
            self._new_file(),
            format,
            whole,
            leave_bytes=self._started.leave_bytes,
            remind_seconds=self._started.job_seconds / _REMINDERS,
        )

    def page_from(
        self, path: Path, format: str = "", *, whole: bool = False, give: bool = False, sha256: str = ""
    ) -> None:
        """Store a finished file of the `folder` or the `workdir` as the next page; the file stays where it is.

        With *give* a file of the `workdir` may be gone afterwards, also after an error: the server moves it, instead of
        copying it, where that is possible. Nothing may have it open for writing. With *sha256*, the hash of its bytes
        in hex, the server does not hash it now, but before the first filter runs: the job fails there if it differs.

        Raises `ValueError` for a path that leads elsewhere, and as leaving the block of `page` does.
        """
        self.store(Path(path), format, whole=whole, give=give, sha256=sha256)

    def cancel(self, why: str) -> None:
        """Cancel the job, since the origin says so. The block may then be left in any way. Raises `Ended` or `Busy`."""
        self._connection.ask(CancelRequest, job=self.id, reason=_sentence(why))
        self._over = True

    def note(self, text: str) -> None:
        """Keep a sentence with the job for all who see it, as that the device has no colour.

        It is stored when this returns. At most 300 characters of it are kept, in one line, and 20 notes of a job; one
        that the job has already is kept once. Raises `Ended`, or `Busy` as a page does.
        """
        if line := " ".join(text.split())[:NOTE]:
            self._connection.ask(NoteRequest, job=self.id, text=line)

    def told(self, outcome: Outcome) -> None:
        """Record what the origin said to a cancel: `stopped`, `refused` or `away`; also after the block."""
        self._connection.ask(ToldRequest, job=self.id, outcome=outcome)

    # --- what a page needs ---------------------------------------------------------------------------------------

    def leave(self, size: int) -> None:
        """Wait for leave to write *size* bytes more into the workdir; 0 says that the origin still sends."""
        self._connection.ask(LeaveRequest, job=self.id, bytes=size)

    def check(self) -> None:
        """Raise `Ended` if the job was cancelled, `Busy` if the server has gone."""
        error = self._end()
        if error is not None:
            raise error

    def store(self, path: Path, format: str, *, whole: bool, give: bool, sha256: str = "") -> None:
        """Store the file as the next page, and return when it is durable."""
        kept, below = self._place(path)
        self._connection.ask(
            PageRequest,
            job=self.id,
            path=below,
            kept=kept,
            given=give and not kept,
            format=format,
            whole=whole,
            sha256=sha256,
        )
        self._has_pages = True

    def _place(self, path: Path) -> tuple[bool, str]:
        """Return whether a file is in the kept folder, and its path below that folder or the workdir."""
        path = self._started.workdir / path
        if ".." not in path.parts:
            for kept, folder in ((False, self._started.workdir), (True, self._started.folder)):
                if path.is_relative_to(folder) and path != folder:
                    return kept, str(path.relative_to(folder))
        raise ValueError(f"{path} is no file of the folder or the workdir of this inlet")

    # --- the end -------------------------------------------------------------------------------------------------

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._over:
                return
            if error is None:
                self._finish()
            else:
                self._break_off(error)
        finally:
            self._connection.forget(self.id)

    def _finish(self) -> None:
        if not self._has_pages:
            self._connection.ask(CancelRequest, job=self.id, reason="the origin had no page")
            return
        try:
            self._connection.ask(EndRequest, job=self.id)
        except (Busy, Refused) as error:
            self._fail(str(error))
            raise

    def _break_off(self, error: BaseException) -> None:
        end = self._end()
        # Also if the job was cancelled, which it stays: the server keeps its place until the source sends its end.
        self._fail(f"{type(error).__name__}: {error}")
        if end is not None and isinstance(error, Exception | Cancelled) and not isinstance(error, Ended | Busy):
            raise end from error

    def _end(self) -> Ended | Busy | None:
        """Return why no more can be done for this job; None while it is open."""
        if self._connection.gone:
            return Busy(why=GONE)
        return Ended(self.id, self.token.reason) if self.token.cancelled else None

    def _fail(self, reason: str) -> None:
        """Free the key of the origin; a server that cannot do it now does it when the job has been silent."""
        with contextlib.suppress(Busy, Refused, Ended):
            self._connection.ask(FailRequest, job=self.id, reason=_sentence(reason))


def _sentence(text: str) -> str:
    return text[: json_lines.SENTENCE]
