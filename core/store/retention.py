"""What is kept: files of the spool, images and ended jobs. Functions on an open transaction, for `core.store` alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from postscan.core.errors import JobNotFound, WrongState
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Proof
from postscan.core.model.states import JobState
from postscan.core.store import jobs
from postscan.core.store.database.pages import at_most
from postscan.core.store.jobs import NOTHING, Usage
from postscan.core.store.schema import (
    DOCUMENT,
    HAS_NO_FILES,
    IS_DISPOSABLE,
    IS_OPEN,
    IS_SWEPT,
    IS_UNFINISHED,
    JOB,
    MADE,
    USAGE,
    UtcDateTime,
    is_in,
)

BATCH: Final = 25
"""Most jobs, events or responses that one transaction of a sweep changes: others wait no longer than for these."""

_ENDED: Final = [state.value for state in JobState if state.ended]


class Blob(NamedTuple):
    """One file of the spool as the database has it: its key, its job, its size in bytes, whether the job is open.

    `kept` is False if the file was removed or belongs to another job now, and for a filter's output once the job has
    ended.
    """

    key: str
    token: JobToken
    size: int
    open: bool
    kept: bool


class OwnerUsage(NamedTuple):
    """The bytes that the spool keeps of an owner, and those of them that retention may remove."""

    owner: str
    kept: int
    disposable: int


class Age(NamedTuple):
    """What jobs in Creating are ordered by."""

    created: datetime
    token: JobToken


class Disposable(NamedTuple):
    """An ended job whose images may be removed: the tick of its end, and the size of its images in bytes."""

    ended: float
    token: JobToken
    size: int


def blobs(db: sa.Connection, tokens: Sequence[str], most: float) -> list[Blob]:
    """Return the files that the spool must hold for these jobs while they are open, and may hold afterwards.

    Raises `TooManyRows` if they have more than *most*.
    """
    job = sa.select(JOB.c.token, IS_OPEN, JOB.c.images_kept).where(JOB.c.token.in_(tokens))
    jobs_by_token = {token: (bool(is_open), kept) for token, is_open, kept in db.execute(job).all()}
    found = {}
    for table in (MADE, DOCUMENT):  # in this order: an image of a device may stand in both
        query = sa.select(table.c.blob, table.c.token, table.c.size).where(table.c.token.in_(tokens))
        files = at_most(db, query, most)
        most -= len(files)
        for row in files:
            if row.token in jobs_by_token:  # else the job appeared between two statements, on PostgreSQL
                is_open, images_kept = jobs_by_token[row.token]
                is_kept = is_open if table is MADE else images_kept
                found[row.blob] = Blob(row.blob, row.token, row.size, is_open, is_kept)
    return list(found.values())


def owners(db: sa.Connection, tokens: Sequence[str], _most: float) -> list[tuple[JobToken, str]]:
    """Return those of these jobs that exist, each with the name of its owner."""
    rows = db.execute(sa.select(JOB.c.token, JOB.c.owner).where(JOB.c.token.in_(tokens)))
    return [(row.token, row.owner) for row in rows]


def spooled_bytes(db: sa.Connection, owner: str) -> int:
    """Return how many bytes the spool keeps of one owner: images, and what filters made for open jobs."""
    return db.scalar(sa.select(USAGE.c.kept_bytes).where(USAGE.c.owner == owner)) or 0


def usages(db: sa.Connection, last: OwnerUsage | None, most: int) -> list[OwnerUsage]:
    """Return what the spool keeps of at most so many owners behind *last*, in the order of their names."""
    query = sa.select(USAGE).order_by(USAGE.c.owner).limit(most)
    query = query if last is None else query.where(USAGE.c.owner > last.owner)
    return [OwnerUsage._make(row) for row in db.execute(query)]


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

    The latter is None if no other job follows. Devices may have many jobs beside them, and no index has these alone.
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


def record_ended(db: sa.Connection, ticks: float) -> int:
    """Set the tick at which they ended for a batch of jobs that have none yet; return for how many."""
    ended = sa.select(JOB.c.token).where(is_in(*_ENDED)).limit(BATCH)
    return db.execute(sa.update(JOB).where(JOB.c.token.in_(ended)).values(ended_ticks=ticks)).rowcount


def disposable(
    db: sa.Connection, ended_before: float, last: Disposable | None, most: int, *, unfinished: bool
) -> list[Disposable]:
    """Return at most so many ended jobs whose images are kept, those that end after *last*; ended first comes first.

    The jobs are Completed and Canceled ones, or the *unfinished*: their devices fell silent, or their sources failed.
    """
    query = sa.select(JOB.c.ended_ticks, JOB.c.token, JOB.c.kept_bytes)
    query = query.where(IS_UNFINISHED if unfinished else IS_DISPOSABLE, JOB.c.ended_ticks < ended_before)
    if last is not None:
        query = query.where(sa.tuple_(JOB.c.ended_ticks, JOB.c.token) > (last.ended, last.token))
    query = query.order_by(JOB.c.ended_ticks, JOB.c.token).limit(most)
    return [Disposable._make(row) for row in db.execute(query)]


def record_images_removed(db: sa.Connection, token: str) -> None:
    """Store that the images of an ended job are removed; raise `JobNotFound`."""
    owner, _, before = _drop_images(db, token)
    jobs.count(db, owner, before, NOTHING)


def transfer_images(db: sa.Connection, token: str) -> Usage:
    """Mark the images of an ended job as taken over by another one; return what they use.

    Raises `WrongState` if that was done before or they are removed, `JobNotFound`.
    """
    _, were_kept, before = _drop_images(db, token)
    if not were_kept:
        raise WrongState("take over the images", "they are removed or belong to another job")
    return before


def drop_jobs(db: sa.Connection, ended_before: float, keep: int) -> Sequence[JobToken]:
    """Delete a batch of ended jobs that are both old and beyond the newest *keep*, and have no images; return them.

    Their images were removed, or they never had any.
    """
    by_end = (JOB.c.ended_ticks, JOB.c.token)
    old = sa.select(JOB.c.token).where(HAS_NO_FILES, JOB.c.ended_ticks < ended_before).order_by(*by_end).limit(BATCH)
    if db.scalar(old.limit(1)) is None:
        return ()
    if keep:
        newest = sa.select(*by_end).where(IS_SWEPT).order_by(*(column.desc() for column in by_end))
        last = db.execute(newest.limit(1).offset(keep - 1)).one_or_none()
        if last is None:
            return ()
        old = old.where(sa.tuple_(*by_end) < tuple(last))
    tokens = db.scalars(old).all()
    db.execute(sa.delete(JOB).where(JOB.c.token.in_(tokens)))
    return tokens


def _drop_images(db: sa.Connection, token: str) -> tuple[str, bool, Usage]:
    """Mark the images of an ended job as removed; return its owner, whether they were kept, and what they used."""
    query = sa.select(JOB.c.owner, JOB.c.images_kept, JOB.c.state, JOB.c.kept_bytes).where(JOB.c.token == token)
    row = db.execute(query.with_for_update()).one_or_none()
    if row is None:
        raise JobNotFound(token)
    gone = {"images_kept": False, "kept_bytes": 0, "version": JOB.c.version + 1}
    db.execute(sa.update(JOB).where(JOB.c.token == token).values(gone))
    return row.owner, row.images_kept, Usage.of(row.state, row.kept_bytes)


def _selected(
    db: sa.Connection, query: sa.Select[Any], last: Age | None, most: int, **of: Any
) -> tuple[Sequence[JobToken], Age | None]:
    """Return what the query selects of the first *most* jobs in Creating behind *last*, and the last of these."""
    after = _age_of("after", last or _OLDEST)
    row = db.execute(_LAST_CREATING, {**after, "of_skipped": most - 1}).one_or_none()
    end = None if row is None else Age._make(row)
    return db.scalars(query, {**after, **_age_of("last", end or _NEWEST), **of}).all(), end
