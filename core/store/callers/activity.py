"""What callers have done lately: how many jobs each has created. Functions on an open transaction."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from postscan.core.store.schema import JOB


class CallerJobs(NamedTuple):
    """How many jobs a caller has created in a time, and when the last one."""

    owner: str
    proof: str
    number: int
    last: datetime


class JobPlace(NamedTuple):
    """The place of a job in the order of creation."""

    created: datetime
    token: str


def count_jobs(
    db: sa.Connection, begin: datetime, before: JobPlace | None, part: int
) -> tuple[list[CallerJobs], JobPlace | None]:
    """Return how many of the *part* jobs before a place each caller has created, at *begin* or later.

    Also return the place of the last job that was looked at, None if no other one is wanted. It is found in an index.
    """
    key = sa.tuple_(JOB.c.created, JOB.c.token)
    older = [] if before is None else [key < tuple(before)]
    keys = sa.select(JOB.c.created, JOB.c.token).order_by(JOB.c.created.desc(), JOB.c.token.desc()).limit(1)
    row = db.execute(keys.where(*older, JOB.c.created >= begin).offset(part - 1)).one_or_none()
    last = None if row is None else JobPlace(row.created, row.token)
    newer = JOB.c.created >= begin if last is None else key >= tuple(last)
    callers = (JOB.c.owner, JOB.c.owner_proof)
    query = sa.select(*callers, sa.func.count(), sa.func.max(JOB.c.created, type_=JOB.c.created.type))
    return [CallerJobs(*found) for found in db.execute(query.where(*older, newer).group_by(*callers))], last
