"""What is kept: files of the spool, images and ended jobs. Functions on an open transaction, for `core.store` alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import sqlalchemy as sa

from postscan.core.errors import WrongState
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobReason, JobState
from postscan.core.store import jobs
from postscan.core.store.schema import DOCUMENT, JOB, MADE

BATCH: Final = 25
"""Most jobs, events or responses that one transaction of a sweep changes: others wait no longer than for these."""

PAGE: Final = 1000
"""Jobs that one call of `disposable` returns at most; bounds the memory of a sweep."""

_OPEN: Final = [state.value for state in JobState if not state.ended]
_DONE: Final = JOB.c.state.in_([JobState.COMPLETED.value, JobState.CANCELED.value])
_TIMED_OUT: Final = sa.and_(
    JOB.c.state == JobState.ABORTED.value, sa.cast(JOB.c.reasons, sa.Text).contains(JobReason.TIMED_OUT.value)
)


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


class Disposable(NamedTuple):
    """An ended job whose images may be removed: the tick of its end, and the size of its images in bytes."""

    ended: float
    token: JobToken
    size: int


def blobs(db: sa.Connection) -> list[Blob]:
    """Return the files that the spool must hold for open jobs, and may hold for ended ones."""
    is_open = JOB.c.state.in_(_OPEN)
    sent = sa.select(DOCUMENT.c.blob, DOCUMENT.c.token, DOCUMENT.c.size, is_open, JOB.c.images_kept)
    made = sa.select(MADE.c.blob, MADE.c.token, MADE.c.size, is_open, is_open)  # kept until the job ends
    found = {blob.key: blob for blob in map(Blob._make, db.execute(made.join(JOB, JOB.c.token == MADE.c.token)))}
    of_devices = db.execute(sent.join(JOB, JOB.c.token == DOCUMENT.c.token))
    found |= {blob.key: blob for blob in map(Blob._make, of_devices)}
    return list(found.values())


def spooled_bytes(db: sa.Connection, owner: str | None) -> int:
    """Return how many bytes the spool keeps, of one owner or of all: images, and what filters made for open jobs."""
    mine = sa.true() if owner is None else JOB.c.owner == owner
    sent = sa.select(sa.func.sum(DOCUMENT.c.size)).join(JOB, JOB.c.token == DOCUMENT.c.token)
    is_sent = sa.exists().where(DOCUMENT.c.token == MADE.c.token, DOCUMENT.c.blob == MADE.c.blob)
    made = sa.select(MADE.c.blob, MADE.c.size).distinct().join(JOB, JOB.c.token == MADE.c.token)
    made_by_filters = made.where(mine, JOB.c.state.in_(_OPEN), sa.not_(is_sent)).subquery()
    return int(db.scalar(sent.where(mine, JOB.c.images_kept)) or 0) + int(
        db.scalar(sa.select(sa.func.sum(made_by_filters.c.size))) or 0
    )


def owners(db: sa.Connection) -> list[str]:
    """Return the owners of jobs whose images are kept, in order."""
    query = sa.select(JOB.c.owner).distinct().join(DOCUMENT, DOCUMENT.c.token == JOB.c.token)
    return list(db.scalars(query.where(JOB.c.images_kept).order_by(JOB.c.owner)))


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
    ended = sa.select(JOB.c.token).where(JOB.c.ended_ticks.is_(None), JOB.c.state.not_in(_OPEN)).limit(BATCH)
    return db.execute(sa.update(JOB).where(JOB.c.token.in_(ended)).values(ended_ticks=ticks)).rowcount


def disposable_bytes(db: sa.Connection) -> int:
    """Return how many bytes of images of Completed and Canceled jobs the spool keeps."""
    query = sa.select(sa.func.coalesce(sa.func.sum(DOCUMENT.c.size), 0)).join(JOB, JOB.c.token == DOCUMENT.c.token)
    return int(db.scalar(query.where(JOB.c.images_kept, _DONE)) or 0)


def disposable(
    db: sa.Connection, ended_before: float, after: Disposable | None, *, timed_out: bool
) -> list[Disposable]:
    """Return at most `PAGE` ended jobs whose images are kept, those that end after *after*; ended first comes first.

    The jobs are Completed and Canceled ones, or those that *timed_out*.
    """
    size = sa.func.coalesce(sa.func.sum(DOCUMENT.c.size), 0)
    query = sa.select(JOB.c.ended_ticks, JOB.c.token, size).outerjoin(DOCUMENT, DOCUMENT.c.token == JOB.c.token)
    query = query.where(JOB.c.images_kept, _TIMED_OUT if timed_out else _DONE, JOB.c.ended_ticks < ended_before)
    order = sa.tuple_(JOB.c.ended_ticks, JOB.c.token)
    if after is not None:
        query = query.where(order > (after.ended, after.token))
    query = query.group_by(JOB.c.token).order_by(JOB.c.ended_ticks, JOB.c.token).limit(PAGE)
    return [Disposable(ended, token, int(size)) for ended, token, size in db.execute(query)]


def record_images_removed(db: sa.Connection, token: str) -> None:
    """Store that the images of an ended job are removed."""
    query = sa.update(JOB).where(JOB.c.token == token)
    db.execute(query.values(images_kept=False, version=JOB.c.version + 1))


def transfer_images(db: sa.Connection, token: str) -> None:
    """Mark the images of an ended job as taken over by another; raise `WrongState` if that was done before."""
    query = sa.update(JOB).where(JOB.c.token == token, JOB.c.images_kept)
    if db.execute(query.values(images_kept=False, version=JOB.c.version + 1)).rowcount != 1:
        raise WrongState("release", JobState.ABORTED)


def drop_jobs(db: sa.Connection, ended_before: float, keep: int) -> int:
    """Delete a batch of ended jobs that are both old and beyond the newest *keep*, and have no images; return how many.

    Their images were removed, or they never had any.
    """
    newest = sa.select(JOB.c.token).where(JOB.c.ended_ticks.is_not(None))
    newest = newest.order_by(JOB.c.ended_ticks.desc(), JOB.c.token).limit(keep)
    has_images = sa.and_(JOB.c.images_kept, sa.exists().where(DOCUMENT.c.token == JOB.c.token))
    old = sa.select(JOB.c.token).where(
        JOB.c.ended_ticks < ended_before, sa.not_(has_images), JOB.c.token.not_in(newest)
    )
    return db.execute(sa.delete(JOB).where(JOB.c.token.in_(old.limit(BATCH)))).rowcount
