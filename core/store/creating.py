"""The jobs in Creating: those that are silent, and those of sources. Functions on an open transaction.

No index has either, since both questions are about few jobs. Devices may have many beside them, so the jobs are looked
at in parts, oldest first, each in a transaction of its own (decision 66).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from postscan.core.model.job import JobToken
from postscan.core.model.principal import Proof
from postscan.core.model.states import JobState
from postscan.core.store import jobs
from postscan.core.store.schema import JOB, UtcDateTime, is_in


class Age(NamedTuple):
    """What jobs in Creating are ordered by."""

    created: datetime
    token: JobToken


_OLDEST: Final = Age(datetime.min.replace(tzinfo=UTC), JobToken(""))
_NEWEST: Final = Age(datetime.max.replace(tzinfo=UTC), JobToken(""))


def _age(name: str) -> sa.Tuple:
    return sa.tuple_(sa.bindparam(f"{name}_created", type_=UtcDateTime), sa.bindparam(f"{name}_token", type_=sa.String))


def _age_of(name: str, age: Age) -> dict[str, Any]:
    return {f"{name}_created": age.created, f"{name}_token": age.token}


_AGE: Final = sa.tuple_(JOB.c.created, JOB.c.token)
_CREATING: Final = (is_in(JobState.CREATING), _age("after") < _AGE)
_LAST_CREATING: Final = (
    sa.select(JOB.c.created, JOB.c.token)
    .where(*_CREATING)
    .order_by(JOB.c.created, JOB.c.token)
    .offset(sa.bindparam("of_skipped", type_=sa.Integer))
    .limit(1)
)
_PART: Final = sa.select(JOB.c.token).where(*_CREATING, _age("last") >= _AGE).order_by(JOB.c.created, JOB.c.token)
_IDLE: Final = _PART.where(JOB.c.deadline < sa.bindparam("of_ticks"))
_OF_SOURCES: Final = _PART.where(JOB.c.owner_proof == Proof.SOURCE)


def idle(db: sa.Connection, ticks: float, last: Age | None, most: int) -> tuple[Sequence[JobToken], Age | None]:
    """Return those whose deadline has passed of the first *most* jobs in Creating behind *last*, and the last of these.

    The latter is None if no other job follows. The database compares the deadlines, since nearly none has passed.
    """
    return _selected(db, _IDLE, last, most, of_ticks=ticks)


def of_sources(db: sa.Connection, last: Age | None, most: int) -> tuple[Sequence[JobToken], Age | None]:
    """Return those that sources made of the first *most* jobs in Creating behind *last*, and the last of these.

    The latter is None if no other job follows.
    """
    return _selected(db, _OF_SOURCES, last, most)


def expire(db: sa.Connection, tokens: Sequence[str], ticks: float, at: datetime) -> list[JobToken]:
    """Abort those of the jobs that are still in Creating and past their deadline; return them.

    A job that another transaction is changing is left out.
    """
    query = sa.select(JOB).where(JOB.c.token.in_(tokens), JOB.c.state == JobState.CREATING, JOB.c.deadline < ticks)
    silent = jobs.select(db, query.order_by(JOB.c.token).with_for_update(skip_locked=True))
    for job in silent:
        stored = jobs.Stored.of(job)
        job.expire(at)
        jobs.save(db, job, stored)
    return [job.token for job in silent]


def _selected(
    db: sa.Connection, query: sa.Select[Any], last: Age | None, most: int, **of: Any
) -> tuple[Sequence[JobToken], Age | None]:
    """Return what the query selects of the first *most* jobs behind *last*, and the last of these, if others follow."""
    after = _age_of("after", last or _OLDEST)
    row = db.execute(_LAST_CREATING, {**after, "of_skipped": most - 1}).one_or_none()
    end = None if row is None else Age._make(row)
    return db.scalars(query, {**after, **_age_of("last", end or _NEWEST), **of}).all(), end
