"""What has changed in the database, for a front end that shows jobs while they run.

With SQLite, a look costs microseconds while nothing is committed. With another database each look reads the number of
the newest event, which jobs have events without one, and how far the running filters are; a change without an event,
such as a line of the audit trail, is noticed together with the next one that has an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from postscan.core.model.job import JobToken
from postscan.core.store import events, outbox
from postscan.core.store.cluster import numbering
from postscan.core.store.outbox import StepProgress
from postscan.core.store.store import Store

WINDOW: Final = 2000
"""Most events that one look reads; behind more of them, every job counts as changed."""

SECONDS: Final = 0.1
SECONDS_OF_A_SERVER: Final = 0.25
"""Between two looks at a database that is a server, which read rows each time."""

_BUSY_LOOKS: Final = 5
"""Looks in succession that find SQLite busy; then one reads rows, and waits for its turn."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a look has found: the jobs that may differ from what they were at the last one, None for all jobs.

    `in_progress` are those jobs whose filters run now, or end; they are among `jobs`, since what a filter delivers has
    no event.
    """

    jobs: frozenset[JobToken] | None
    in_progress: frozenset[JobToken]

    def is_of(self, token: JobToken) -> bool:
        """Return whether this job may have changed."""
        return self.jobs is None or token in self.jobs


class ChangeWatch:
    """Looks at the database again and again, each `seconds`; for one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_file = store.url.startswith("sqlite")
        self.seconds = SECONDS if self._is_file else SECONDS_OF_A_SERVER
        self._version: int | None = None
        self._busy = 0
        self._cursor = -1
        self._unnumbered = 0
        self._progress: Mapping[JobToken, tuple[StepProgress, ...]] = {}

    def look(self) -> Change | None:
        """Return what has changed since the last look, everything at the first; None if nothing has.

        Raises `StoreBusy`; what has changed is then found by the next look.
        """
        version = self._store.version() if self._is_file else None
        if self._is_file and not self._may_differ(version):
            return None
        with self._store.reading() as db:
            unnumbered = numbering.unnumbered_jobs(db, self._unnumbered)  # first: an event may get its number meanwhile
            newest = events.newest(db)
            progress = outbox.progress(db)
            distance = newest - self._cursor
            jobs = None if self._cursor < 0 or distance > WINDOW else outbox.jobs_behind(db, self._cursor, newest)
        is_same = distance == 0 and progress == self._progress and not unnumbered.tokens
        self._unnumbered = unnumbered.last
        before, self._version, self._cursor, self._progress = self._progress, version, newest, progress
        if is_same and not self._is_file:
            return None
        in_progress = frozenset(progress)
        jobs_changed = None if jobs is None else in_progress.union(before, jobs, unnumbered.tokens)
        return Change(jobs_changed, in_progress)

    def _may_differ(self, version: int | None) -> bool:
        """Return whether something may have been committed; None is the version of a database that is busy."""
        self._busy = self._busy + 1 if version is None else 0
        return self._busy > _BUSY_LOOKS or version not in (None, self._version)
