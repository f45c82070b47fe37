"""The callers of the last 24 hours: their jobs, their refused requests, and what the spool keeps of them.

Jobs and lines of the audit trail are counted in parts, newest first, each for `SECONDS` at most; `Callers.all` returns
how far back it has counted. The numbers are kept for `KEPT_SECONDS`, so that many who ask cost no more than one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from postscan.core.clock import Clock
from postscan.core.model.principal import Principal, Right
from postscan.core.service.access import require
from postscan.core.service.administration.remembered import Remembered
from postscan.core.settings import Settings
from postscan.core.spool.shares import SpoolShare, shares
from postscan.core.store.callers import activity, audit
from postscan.core.store.database import pages
from postscan.core.store.store import Store

__all__ = ["CallerActivity", "Callers", "RecentCallers", "SpoolShare"]

HOURS: Final = 24
SECONDS: Final = 0.2
KEPT_SECONDS: Final = 10.0


@dataclass(slots=True)
class CallerActivity:
    """What one caller has done; `share` is None if the spool keeps no document of it."""

    name: str
    proof: str = ""
    jobs: int = 0
    last_job: datetime | None = None
    refusals: int = 0
    share: SpoolShare | None = None


class RecentCallers(NamedTuple):
    """The callers by name. All since `begin` is counted; where a time is set, only what is since then."""

    callers: list[CallerActivity]
    begin: datetime
    jobs_since: datetime | None
    refusals_since: datetime | None


class Callers:
    """Counts what callers have done. Every method may block. Raised by all: `StoreBusy`, `NotAdministrator`."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._recent = Remembered(self._count, KEPT_SECONDS, clock.ticks)

    def use(self, settings: Settings) -> None:
        """Work with these settings from now on."""
        self._settings = settings
        self._recent.forget()

    def shares(self, by: Principal) -> list[SpoolShare]:
        """Return what the spool keeps of each caller, by name."""
        require(by, Right.ADMINISTER)
        return list(shares(self._store, self._settings))

    def all(self, by: Principal) -> RecentCallers:
        """Return the callers that have created jobs or were refused lately, or of whom the spool keeps documents."""
        require(by, Right.ADMINISTER)
        return self._recent.get()

    def _count(self) -> RecentCallers:
        begin = self._clock.now() - timedelta(hours=HOURS)
        found: dict[str, CallerActivity] = {}
        jobs_since = self._count_jobs(begin, found)
        refusals_since = self._count_refusals(begin, found)
        for share in shares(self._store, self._settings):
            _of(found, share.owner).share = share
        return RecentCallers(sorted(found.values(), key=lambda one: one.name), begin, jobs_since, refusals_since)

    def _count_jobs(self, begin: datetime, found: dict[str, CallerActivity]) -> datetime | None:
        """Add the jobs since *begin*; return since when they are counted if the time is over before."""
        until = self._clock.ticks() + SECONDS
        place: activity.JobPlace | None = None
        while True:
            with self._store.reading() as db:
                part, place = activity.count_jobs(db, begin, place, pages.PART)
            for one in part:
                caller = _of(found, one.owner)
                caller.proof = one.proof
                caller.jobs += one.number
                caller.last_job = max(one.last, caller.last_job or one.last)
            if place is None:
                return None
            if self._clock.ticks() >= until:
                return place.created

    def _count_refusals(self, begin: datetime, found: dict[str, CallerActivity]) -> datetime | None:
        """Add the refusals since *begin*; return since when they are counted if the time is over before."""
        until = self._clock.ticks() + SECONDS
        number: int | None = None
        while True:
            with self._store.reading() as db:
                part, number = audit.count_refusals(db, begin, number, pages.PART)
                is_over = self._clock.ticks() >= until
                last = audit.read_numbered(db, [number]) if is_over and number is not None else {}
            for one in part:
                caller = _of(found, one.who)
                caller.proof = caller.proof or one.proof
                caller.refusals += one.number
            if number is None:
                return None
            if is_over:
                return next((line.at for line in last.values()), begin)


def _of(found: dict[str, CallerActivity], name: str) -> CallerActivity:
    return found.setdefault(name, CallerActivity(name))
