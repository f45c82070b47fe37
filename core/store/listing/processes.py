"""How many jobs the scan processes have, and how many of these have failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import sqlalchemy as sa

from postscan.core.model.states import JobReason, JobState
from postscan.core.store.database.pages import Reading, in_parts
from postscan.core.store.listing.query import JobQuery, SearchCursor
from postscan.core.store.listing.wanted import WantedJobs
from postscan.core.store.schema import JOB


class JobsOfProcess(NamedTuple):
    """How many jobs of a scan process there are, and how many of these have failed, as a whole or in a filter."""

    jobs: int
    failed: int


_HAS_FAILED: Final = sa.case(
    (JOB.c.state == JobState.ABORTED, 1),
    (sa.cast(JOB.c.reasons, sa.Text).contains(f'"{JobReason.ERRORS}"', autoescape=True), 1),
    else_=0,
)


def count_of_processes(reading: Reading, begin: datetime, most: int) -> dict[str, JobsOfProcess]:
    """Return the jobs that were created at *begin* or later by the identifier of their process, the newest first.

    It ends behind the transaction that looks at the last of *most* jobs.
    """
    wanted = WantedJobs.of(JobQuery(begin=begin), None, "")

    def part(
        db: sa.Connection, last: SearchCursor | None, most: int
    ) -> tuple[Sequence[tuple[str, int, int]], SearchCursor | None]:
        within, cursor = wanted.part(db, last, most)
        counts = sa.func.count(), sa.func.sum(_HAS_FAILED)
        found = sa.select(JOB.c.process_id, *counts).where(*within).group_by(JOB.c.process_id)
        return [(process, number, failed) for process, number, failed in db.execute(found)], cursor

    total: dict[str, JobsOfProcess] = {}
    left = most
    for process, number, failed in in_parts(reading, part):
        before = total.get(process, JobsOfProcess(0, 0))
        total[process] = JobsOfProcess(before.jobs + number, before.failed + int(failed))
        left -= number
        if left <= 0:
            break
    return total
