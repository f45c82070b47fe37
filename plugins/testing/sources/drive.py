"""Processes of a source, its origin, the jobs that came of it, and the defects that were found."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from postscan.core.filters.source.messages import SourceFailed
from postscan.core.filters.source.source import Source
from postscan.core.model.states import JobState
from postscan.plugins.testing.defects import SourceDefectKind
from postscan.plugins.testing.sources import origin
from postscan.plugins.testing.sources.origin import Origin
from postscan.plugins.testing.sources.process import SourceProcess
from postscan.plugins.testing.sources.server import BroughtJob, JobTable

_PAUSE: Final = 0.01
_AGAIN: Final = 0.2  # seconds before an origin comes again that has not arrived


class SourceBroken(Exception):
    """The source cannot be used any more; the defect is recorded."""


class NotPossible(Exception):
    """The source cannot be tested with these settings and this origin; the text is the reason."""


class Drive:
    """Runs one source with one origin. `found` has a sentence for each kind of defect, `texts` all that was said.

    `seconds` is the longest wait for anything but the end of a process.
    """

    def __init__(
        self,
        source: Source,
        driven: Origin | None,
        home: Path,
        settings: Mapping[str, Any],
        accounts: Mapping[str, str],
        seconds: float,
        about: Mapping[str, Any],
    ) -> None:
        self.source = source
        self.has_origin = driven is not None
        self.seconds = seconds
        self.found: dict[SourceDefectKind, str] = {}
        self.texts: list[str] = []
        self.processes = self.origins = 0
        self.table = JobTable(accounts, examined=True)
        self.whole: set[bytes] = set()
        self._origin = driven
        self._home, self._settings, self._about = home, settings, about

    @property
    def origin(self) -> Origin:
        """The origin; there is one if `has_origin`."""
        if self._origin is None:
            raise AssertionError("there is no origin")
        return self._origin

    @contextlib.contextmanager
    def process(self) -> Iterator[SourceProcess]:
        """Run the source; yield when it has begun. Raises `NotPossible` if it does not begin."""
        self.processes += 1
        with SourceProcess(self.source, self.table, self._home, self._settings, self._about) as process:
            try:
                self.comes(lambda: process.server.declared or process.ended(0))
                if process.server.declared is None:
                    raise NotPossible(f"it did not begin: {why(process)}")
                yield process
            finally:
                process.kill()
                self._record(process)

    @contextlib.contextmanager
    def bringing(
        self, call: Callable[..., None], *arguments: Any, arrived: Callable[[], object] = lambda: True
    ) -> Iterator[None]:
        """Call the origin in a thread while the body runs; raise `NotPossible` if it fails or does not return.

        Until it has *arrived* the origin comes again, as long as the body runs: the source may be about to listen.
        """
        errors: list[BaseException] = []
        over = threading.Event()

        def bring() -> None:
            try:
                call(*arguments)
                while not arrived() and not over.wait(_AGAIN):
                    self.origin.again()
            except BaseException as error:  # noqa: BLE001  (raised in the other thread)
                errors.append(error)

        thread = threading.Thread(target=bring, name="origin", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
        thread.join(self.seconds)
        if thread.is_alive():
            raise NotPossible(f"{call.__name__} of the origin had not returned after {self.seconds:g} s")
        if errors:
            raise NotPossible(f"{call.__name__} of the origin raised {errors[0]!r}")

    def next_page(self, *, whole: bool = True, image: bool = True) -> bytes:
        """Return the page of another origin; *whole* says that it will come whole."""
        self.origins += 1
        content = origin.page(self.origins) if image else origin.noise(self.origins)
        if whole:
            self.whole.add(content)
        return content

    def stored(self, content: bytes) -> list[BroughtJob]:
        """Return the stored jobs with this page; a cancelled one counts, since its key stays taken."""
        done = (JobState.PENDING, JobState.CANCELED)
        return [job for job in self.table.jobs if job.state in done and content in job.pages]

    def comes(self, true: Callable[[], object], seconds: float | None = None) -> bool:
        """Wait until *true* returns something true; return False if it does not come."""
        until = time.monotonic() + (self.seconds if seconds is None else seconds)
        while not true():
            if time.monotonic() > until:
                return False
            time.sleep(_PAUSE)
        return True

    def add(self, kind: SourceDefectKind, sentence: str) -> None:
        """Record a defect; the first one of a kind stays."""
        self.found.setdefault(kind, sentence)

    def broken(self, kind: SourceDefectKind, sentence: str) -> SourceBroken:
        """Record a defect after which the source cannot be used; return the error to raise."""
        self.add(kind, sentence)
        return SourceBroken(sentence)

    def _record(self, process: SourceProcess) -> None:
        server = process.server
        self.texts += [process.printed, *(text for _, text in server.health)]
        self.texts += [text for line in server.log for text in (line.message, *line.fields.values())]
        self.texts += [note for job in self.table.jobs for note in job.notes]
        self.texts += [server.end.error, server.end.traceback] if isinstance(server.end, SourceFailed) else []


def why(process: SourceProcess) -> str:
    """Return why a process has ended, or what it said last."""
    end = process.server.end
    if isinstance(end, SourceFailed):
        return end.error
    if process.server.problem:
        return f"it sent what is no message: {process.server.problem}"
    lines = [f"{line.message} {line.fields.get('reason', '')}".strip() for line in process.server.log[-1:]]
    return "; ".join(lines) or "it said nothing"
