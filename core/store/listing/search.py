"""Search and count jobs, by functions that open short transactions, each of which only reads."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa

from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal
from postscan.core.model.states import JobState
from postscan.core.store.database import pages
from postscan.core.store.database.pages import Reading, in_parts, of_jobs
from postscan.core.store.listing.listed_jobs import ListedJob, read_listed
from postscan.core.store.listing.query import JobQuery, SearchCursor
from postscan.core.store.listing.wanted import WantedJobs, find_keys
from postscan.core.store.schema import JOB

_AT_ONCE: Final = 50
"""Jobs that one transaction lists: with 3 images and 2 filters each, it takes 7 ms of processor time."""


def search(
    reading: Reading,
    query: JobQuery,
    owner: Principal | None,
    sid: str,
    after: SearchCursor | None,
    most: int,
    is_over: Callable[[], bool],
) -> tuple[list[ListedJob], SearchCursor | None]:
    """Return at most *most* of the wanted jobs behind *after*, newest first, and where the search goes on.

    Of the *owner*, and of the user with this *sid*, as in `jobs.owned`; of all if *owner* is None. The cursor is None
    if the search has reached the oldest job. It ends earlier if *is_over* is true behind a transaction, of which there
    is at least one. The jobs are read after they were found, so one may be in another state by then; it is left out if
    that state is not wanted.
    """
    found, cursor = find_keys(reading, WantedJobs.of(query, owner, sid), after, most, is_over)
    tokens = [one.token for one in found]
    parts = (tokens[start : start + _AT_ONCE] for start in range(0, len(tokens), _AT_ONCE))
    listed = [job for part in parts for job in of_jobs(reading, part, read_listed)]
    return [job for job in listed if not query.states or job.state in query.states], cursor


def tokens(reading: Reading, query: JobQuery, most: int) -> list[JobToken]:
    """Return the tokens of the newest of the wanted jobs of all owners, at most so many."""
    wanted, after, found = WantedJobs.of(query, None, ""), None, list[JobToken]()
    while len(found) < most:
        part, after = find_keys(reading, wanted, after, min(pages.PAGE, most - len(found)), lambda: False)
        found += [one.token for one in part]
        if after is None:
            break
    return found


def count(
    reading: Reading, query: JobQuery, owner: Principal | None, sid: str, most: float = math.inf
) -> Counter[JobState]:
    """Return how many of the wanted jobs are in each state, of the owner as in `search`; about *most* at most.

    They are counted in several transactions, so a job that changes its state meanwhile counts once, in either state.
    It ends behind the transaction that finds the last of *most* jobs.
    """
    wanted = WantedJobs.of(query, owner, sid)

    def part(
        db: sa.Connection, last: SearchCursor | None, most: int
    ) -> tuple[Sequence[tuple[JobState, int]], SearchCursor | None]:
        within, cursor = wanted.part(db, last, most)
        found = sa.select(JOB.c.state, sa.func.count()).where(*within, *wanted.filters).group_by(JOB.c.state)
        return [(JobState(state), number) for state, number in db.execute(found, wanted.parameters)], cursor

    total: Counter[JobState] = Counter()
    for state, number in in_parts(reading, part):
        total[state] += number
        if total.total() >= most:
            break
    return total
