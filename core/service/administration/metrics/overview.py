"""What the jobs of a day show of the server's surroundings, and what the spool keeps. For those who see all jobs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from postscan.core.clock import Clock
from postscan.core.model.principal import Principal, Right
from postscan.core.model.states import JobReason, JobState
from postscan.core.store import deliveries, events
from postscan.core.store.database.pages import of_jobs
from postscan.core.store.deliveries import FilterUse
from postscan.core.store.events import StateTime
from postscan.core.store.listing import search
from postscan.core.store.listing.query import JobQuery
from postscan.core.store.store import Store

DAY: Final = timedelta(days=1)

MOST_JOBS: Final = 5000
"""Jobs of the last day that are looked at, the newest first."""


MOST_TIMED: Final = 1000
"""Jobs of the last day whose times are read, the newest first."""


class FilterOfProcess(NamedTuple):
    """A filter of a scan process; `position` 0 is the first one."""

    process_id: str
    process_name: str
    position: int
    dialect: str


@dataclass(slots=True)
class FilterFailures:
    """How often a filter of a scan process has failed, when the newest of these jobs was created, and how it failed."""

    filter: FilterOfProcess
    failed: int
    last: datetime
    detail: str


@dataclass(slots=True)
class DestinationUse:
    """What filters have delivered to a destination in a day, and how often these filters have failed.

    A filter that fails names no destination, so it counts at each destination to which it has delivered.
    """

    destination: str
    last: datetime
    delivered: int = 0
    failed: int = 0
    filters: set[FilterOfProcess] = field(default_factory=set)


class DayOfFilters(NamedTuple):
    """The destinations by name, and the filters that have failed, most failures first, of so many jobs of a day."""

    destinations: list[DestinationUse]
    failures: list[FilterFailures]
    jobs: int


class DayOfTimes(NamedTuple):
    """The times of so many jobs of a day, in seconds: until their filters began, and from then on to their end.

    None if no job has such a time. `with_errors` are those that completed although a filter failed.
    """

    jobs: int
    with_errors: int
    wait_median: float | None
    run_median: float | None
    run_p99: float | None


class SpoolUse(NamedTuple):
    """Bytes of images and documents that the spool keeps, and how many of them retention may remove."""

    kept: int
    disposable: int


class Overview:
    """Every method may block; call it from a thread. Raised by all: `StoreBusy`. Other callers find nothing."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def filters(self, by: Principal) -> DayOfFilters:
        """Return what the filters of the jobs of the last day have delivered, and which have failed."""
        if not by.may(Right.SEE):
            return DayOfFilters([], [], 0)
        query = JobQuery(begin=self._clock.now() - DAY)
        tokens = search.tokens(self._store.reading, query, MOST_JOBS)
        return DayOfFilters(*summary(of_jobs(self._store.reading, tokens, deliveries.uses)), len(tokens))

    def times(self, by: Principal) -> DayOfTimes:
        """Return how long jobs of the last day have waited and run, the newest of them."""
        if not by.may(Right.SEE):
            return DayOfTimes(0, 0, None, None, None)
        query = JobQuery(begin=self._clock.now() - DAY)
        tokens = search.tokens(self._store.reading, query, MOST_TIMED)
        return times(of_jobs(self._store.reading, tokens, events.state_times), len(tokens))

    def spool(self, by: Principal) -> SpoolUse:
        """Return what the spool keeps of all callers."""
        usages = list(self._store.usages()) if by.may(Right.SEE) else []
        return SpoolUse(sum(one.kept for one in usages), sum(one.disposable for one in usages))


def times(changes: Iterable[StateTime], jobs: int) -> DayOfTimes:
    """Return what the changes of the states of so many jobs say; those of one job are in their order."""
    waits, runs, with_errors = [], [], 0
    waiting: dict[str, datetime] = {}
    running: dict[str, datetime] = {}
    for one in changes:
        if one.state is JobState.PENDING:
            waiting[one.token] = one.at
        elif one.state is JobState.STARTED:
            running[one.token] = one.at
            if one.token in waiting:
                waits.append((one.at - waiting.pop(one.token)).total_seconds())
        elif one.state.ended:
            with_errors += JobReason.ERRORS in one.reasons
            if one.token in running:
                runs.append((one.at - running.pop(one.token)).total_seconds())
    return DayOfTimes(jobs, with_errors, _quantile(waits, 0.5), _quantile(runs, 0.5), _quantile(runs, 0.99))


def _quantile(values: list[float], part: float) -> float | None:
    """Return the smallest of the values that is not below this part of them."""
    return sorted(values)[math.ceil(part * len(values)) - 1] if values else None


def summary(uses: Iterable[FilterUse]) -> tuple[list[DestinationUse], list[FilterFailures]]:
    """Return the destinations by name, and the failures, most of them first."""
    destinations: dict[str, DestinationUse] = {}
    failures: dict[FilterOfProcess, FilterFailures] = {}
    for use in uses:
        filter = FilterOfProcess(use.process_id, use.process_name, use.position, use.dialect)
        if use.destination is None:
            _count_failure(failures, filter, use)
        else:
            found = destinations.setdefault(use.destination, DestinationUse(use.destination, use.at))
            found.last = max(found.last, use.at)
            found.delivered += 1
            found.filters.add(filter)
    for one in destinations.values():
        one.failed = sum(failures[filter].failed for filter in one.filters if filter in failures)
    return (
        [destinations[name] for name in sorted(destinations)],
        sorted(failures.values(), key=lambda one: (-one.failed, one.filter)),
    )


def _count_failure(failures: dict[FilterOfProcess, FilterFailures], filter: FilterOfProcess, use: FilterUse) -> None:
    found = failures.setdefault(filter, FilterFailures(filter, 0, use.at, use.detail))
    found.failed += 1
    if use.at >= found.last:
        found.last, found.detail = use.at, use.detail
