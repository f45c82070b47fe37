"""Run a source in this process on a real store: for the tests of its author."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from postscan.core.filters import loader
from postscan.core.filters.source.source import Source
from postscan.core.filters.source.ticket import ScanTicket

if TYPE_CHECKING:  # a test of a filter need not load a server
    from postscan.core.model.job import Job
    from postscan.plugins.testing.sources.real import RealInlet

PATIENCE: Final = 60.0
"""Seconds after which `SourceRun.wait_for_jobs` gives up."""

_PAUSE: Final = 0.02


@dataclass(frozen=True)
class StoredScan:
    """A job as the server has it: its JobToken, state and reasons, who owns it, and its pages with their formats.

    `owner` is made of the inlet and the subject, `user` is the name of the user for whom it is. `notes` are what the
    source has noted about it.
    """

    id: str
    state: str
    reasons: tuple[str, ...]
    owner: str
    user: str
    pages: list[bytes]
    formats: list[str]
    notes: tuple[str, ...] = ()


class SourceRun:
    """A source that runs; what it has brought, and what a test can do to it."""

    def __init__(self, inlet: RealInlet) -> None:
        self._inlet = inlet

    @property
    def jobs(self) -> list[StoredScan]:
        """All jobs of the source, the oldest first."""
        return [self._scan(job) for job in self._inlet.jobs()]

    @property
    def health(self) -> list[tuple[str, str]]:
        """What the source has reported of itself: states and texts."""
        return list(self._inlet.health)

    def wait_for_jobs(self, number: int = 1, state: str = "Pending", seconds: float = PATIENCE) -> list[StoredScan]:
        """Wait until so many jobs are in a state and return them; `Pending` is a job with all its pages.

        Raises `AssertionError` if they do not come, or if the source ends.
        """
        found: list[StoredScan] = []

        def come() -> bool:
            found[:] = [job for job in self.jobs if job.state == state]
            return len(found) >= number

        self.wait_for(come, seconds)
        return found

    def wait_for(self, true: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait until *true* returns something true; raise `AssertionError` if it does not, or if the source ends."""
        until = time.monotonic() + seconds
        while not true():
            end = self._inlet.end
            if end is not None:
                raise AssertionError(f"the source has ended: {end.reason or 'run returned'}")
            if time.monotonic() > until:
                raise AssertionError(f"waited {seconds:g} s in vain; jobs: {self.jobs}")
            time.sleep(_PAUSE)

    def cancel(self, id: str) -> None:
        """Cancel a job as an administrator does."""
        self._inlet.cancel(id)

    def pull(self, destination: str = "") -> None:
        """Ask the source for a scan, as an administrator does."""
        self._inlet.pull(destination)

    def _scan(self, job: Job) -> StoredScan:
        return StoredScan(
            id=job.token,
            state=job.state,
            reasons=tuple(map(str, job.reasons)),
            owner=job.owner.name,
            user=job.user.name,
            pages=self._inlet.pages(job),
            formats=[document.format for document in job.documents],
            notes=self._inlet.notes(job),
        )


@contextlib.contextmanager
def run_source(
    source: Source,
    *,
    settings: Mapping[str, Any] | None = None,
    destinations: Iterable[str] | Mapping[str, ScanTicket] = ("Scans",),
    accounts: Mapping[str, str] | None = None,
    **server_keys: Any,
) -> Iterator[SourceRun]:
    """Run *source* in a thread of this process, on a real database and spool, and yield what can be seen of it.

    *settings* is the table of an inlet. *destinations* are labels, or labels with the tickets of their scan processes;
    their jobs are the example user's. *accounts* are
    names and passwords. *server_keys* are the server's own keys of the inlet: `devices`, `allow_clear`, `open_jobs`,
    `job_seconds`. No filter runs: a job stays `Pending`. On leaving, the source is stopped; `AssertionError` if it has
    failed.
    """
    from postscan.plugins.testing.sources import real

    loader.check_source(source)
    tickets = destinations if isinstance(destinations, Mapping) else {}
    table = real.table_of(destinations, settings or {}, server_keys)
    with tempfile.TemporaryDirectory(prefix="postscan-source-", ignore_cleanup_errors=True) as home:
        inlet = real.RealInlet(source, Path(home), table, accounts or {}, tickets)
        inlet.start()
        try:
            if inlet.end is not None:
                raise AssertionError(f"the source did not begin: {inlet.end.reason}")
            yield SourceRun(inlet)
        finally:
            end = inlet.close()
        if end is None or end.reason:
            raise AssertionError(f"the source {f'has failed: {end.reason}' if end else 'did not stop'}")
