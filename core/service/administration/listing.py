"""Find and count jobs: all of them for an administrator, for others those that they may see.

The queries are in `postscan.core.store.listing`. A search returns a page of jobs and the cursor behind them. It also
ends after `SECONDS`, with a cursor behind the last job that it has looked at, so that no caller waits for long.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from postscan.core.clock import Clock
from postscan.core.model.principal import Principal, Right
from postscan.core.model.states import JobState
from postscan.core.service.access import owner_filter, sid_filter
from postscan.core.store.database import pages
from postscan.core.store.listing import processes, search
from postscan.core.store.listing.listed_jobs import ListedJob, ListedStep
from postscan.core.store.listing.processes import JobsOfProcess
from postscan.core.store.listing.query import ALL_JOBS, JobGroup, JobQuery, SearchCursor
from postscan.core.store.store import Store

__all__ = [
    "ALL_JOBS",
    "FoundJobs",
    "HourOfJobs",
    "JobGroup",
    "JobListing",
    "JobQuery",
    "JobsOfProcess",
    "ListedJob",
    "ListedStep",
    "SearchCursor",
]

FOUND: Final = 50
"""Jobs of a page, unless a caller asks for another number."""

SECONDS: Final = 1.0
"""After which a search returns what it has found."""

HOURS: Final = 24

MOST_COUNTED: Final = 10_000
"""Jobs after which a count of a group ends, or one by scan process."""

_HOUR: Final = timedelta(hours=1)


class FoundJobs(NamedTuple):
    """A page of a search, newest first; `cursor` is where it goes on, None if it has looked at the oldest job."""

    jobs: list[ListedJob]
    cursor: SearchCursor | None


class HourOfJobs(NamedTuple):
    """The jobs that were created in the hour from `begin` on: how many are in each state now."""

    begin: datetime
    states: dict[JobState, int]


class JobListing:
    """Searches and counts. Every method may block; call it from a thread. Raised by all: `StoreBusy`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def search(
        self, by: Principal, query: JobQuery = ALL_JOBS, after: SearchCursor | None = None, most: int = FOUND
    ) -> FoundJobs:
        """Return at most *most*, and at most `pages.PAGE`, of the wanted jobs behind *after*, newest first."""
        until = self._clock.ticks() + SECONDS
        owner, sid = owner_filter(by), sid_filter(by, "get")
        most = min(most, pages.PAGE)
        return FoundJobs(
            *search.search(self._store.reading, query, owner, sid, after, most, lambda: self._clock.ticks() >= until)
        )

    def counts(self, by: Principal) -> dict[JobState, int]:
        """Return how many jobs are in each state, in the order of `JobState`; see `search.count`."""
        return self._count(by, ALL_JOBS)

    def group_counts(self, by: Principal, group: JobGroup) -> dict[JobState, int]:
        """Return how many jobs of a group are in each state; `MOST_COUNTED` or more if there are more of them."""
        return self._count(by, JobQuery(group=group), MOST_COUNTED)

    def processes(self, by: Principal) -> dict[str, JobsOfProcess]:
        """Return the jobs of the last 24 hours by the identifier of their scan process; nothing without `Right.SEE`.

        Of more than `MOST_COUNTED` jobs, about so many of the newest.
        """
        if not by.may(Right.SEE):
            return {}
        return processes.count_of_processes(self._store.reading, self._clock.now() - HOURS * _HOUR, MOST_COUNTED)

    def hours(self, by: Principal) -> list[HourOfJobs]:
        """Return the jobs of the last `HOURS` hours by the hour of their creation, oldest first; the last has begun."""
        last = self._clock.now().replace(minute=0, second=0, microsecond=0)
        begins = [last - number * _HOUR for number in reversed(range(HOURS))]
        return [HourOfJobs(begin, self._count(by, JobQuery(begin=begin, end=begin + _HOUR))) for begin in begins]

    def _count(self, by: Principal, query: JobQuery, most: float = math.inf) -> dict[JobState, int]:
        found = search.count(self._store.reading, query, owner_filter(by), sid_filter(by, "get"), most)
        return {state: found[state] for state in JobState if found[state]}
