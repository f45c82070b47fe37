"""Events, written in the transaction of the change that they describe, and numbered in the order of the commits.

Functions on an open transaction. A commit that starts the first job in progress, or ends the last one, changes the
state of the repository too, and an event of it follows. On PostgreSQL that event and all numbers come a moment later
(`core.store.cluster.numbering`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from postscan.core.model.events import (
    Event,
    FilterStateChanged,
    JobEnded,
    JobStateChanged,
    RepositoryConfigurationChanged,
    RepositoryEvent,
    RepositoryStatusChanged,
    to_record,
)
from postscan.core.model.job import Job, JobToken, RunStatus
from postscan.core.model.records import EventRow
from postscan.core.model.states import FilterState, JobState
from postscan.core.store.cluster import numbering
from postscan.core.store.cluster.numbering import IDLE, PROCESSING
from postscan.core.store.database.pages import at_most
from postscan.core.store.schema import DELIVERY, EVENT, IS_OF_REPOSITORY, IS_SWEPT, JOB, STEP, is_in

__all__ = ["IDLE", "PROCESSING"]

_IN_PROGRESS: Final = [state.value for state in JobState if state.in_progress]
_KINDS: Final = (RepositoryConfigurationChanged, RepositoryStatusChanged)

# Built once: see core.store.jobs.
_INSERT: Final = sa.insert(EVENT)
_BUSY: Final = sa.select(sa.exists().where(is_in(*_IN_PROGRESS)))


def append(db: sa.Connection, job: Job, *, was_in_progress: bool) -> None:
    """Write the events that the job has collected, with its version, and the event of the repository that follows.

    That is the case only for a job that is in progress, or *was_in_progress* before this change.
    """
    if not job.events:
        return
    rows = [_row(event, job.token, job.version) for event in job.events]
    if numbering.is_needed(db):
        numbering.add(db, rows, job.state.in_progress - was_in_progress)
    else:
        db.execute(_INSERT, rows)
        if was_in_progress or job.state.in_progress:
            _append_status(db, job.events[-1].at)
    job.events.clear()


def append_filters(db: sa.Connection, dialects: Iterable[str], at: datetime) -> None:
    """Write an event with the usable filters, if they differ from the last ones or there are none yet."""
    numbering.lock(db)
    filters = sorted(dialects)
    last = _last(db, RepositoryConfigurationChanged)
    if last is None or last["filters"] != filters:
        db.execute(sa.insert(EVENT), _row(RepositoryConfigurationChanged(tuple(filters), at)))


def select(db: sa.Connection, token: str, last: EventRow | None, most: int) -> list[EventRow]:
    """Return at most so many events of a job behind *last*, in their order."""
    c = EVENT.c
    query = sa.select(c.seq, c.token, c.kind, c.at, c.fields).where(c.token == token, c.seq > (last.seq if last else 0))
    return [EventRow(*row) for row in db.execute(query.order_by(c.seq).limit(most))]


ENDING: Final = frozenset({FilterStateChanged.__name__, JobEnded.__name__})
"""Kinds of events with which a filter or a job may have ended."""


class EndedStep(NamedTuple):
    """A filter of a job that has ended: `outcome` is the status of its receipt, `published` counts its outputs."""

    token: JobToken
    position: int
    dialect: str
    outcome: str
    published: int


def of_jobs_behind(db: sa.Connection, cursor: int, most: int) -> list[EventRow]:
    """Return at most so many events of all jobs behind the cursor, in their order."""
    c = EVENT.c
    query = sa.select(c.seq, c.token, c.kind, c.at, c.fields).where(c.seq > cursor, c.token.is_not(None))
    return [EventRow(*row) for row in db.execute(query.order_by(c.seq).limit(most))]


class StateTime(NamedTuple):
    """When a job came into a state, and why: the reasons that it had then."""

    token: JobToken
    state: JobState
    reasons: tuple[str, ...]
    at: datetime


def state_times(db: sa.Connection, tokens: Sequence[str], most: float) -> list[StateTime]:
    """Return the changes of the states of these jobs, in their order; raise `TooManyRows` for more than *most*."""
    c = EVENT.c
    query = sa.select(c.token, c.fields, c.at).where(c.token.in_(tokens), c.kind == JobStateChanged.__name__)
    return [
        StateTime(JobToken(row.token), JobState(row.fields["state"]), tuple(row.fields["reasons"]), row.at)
        for row in at_most(db, query.order_by(c.seq), most)
    ]


def ended_steps(db: sa.Connection, tokens: Sequence[str], most: float) -> list[EndedStep]:
    """Return the filters of these jobs that have ended; raise `TooManyRows` if there are more than *most*."""
    ended = [state for state in FilterState if state.ended]
    query = sa.select(STEP.c.token, STEP.c.position, STEP.c.dialect, STEP.c.receipt)
    found = at_most(db, query.where(STEP.c.token.in_(tokens), STEP.c.state.in_(ended)), most)
    key = (DELIVERY.c.token, DELIVERY.c.position)
    counts = sa.select(*key, sa.func.count()).where(DELIVERY.c.token.in_(tokens), DELIVERY.c.published).group_by(*key)
    published = {(token, position): number for token, position, number in db.execute(counts)}
    return [
        EndedStep(
            JobToken(row.token),
            row.position,
            row.dialect,
            row.receipt or RunStatus.NOT_STARTED,
            published.get((row.token, row.position), 0),
        )
        for row in found
    ]


def created(db: sa.Connection, tokens: Sequence[str], _most: float) -> list[tuple[JobToken, datetime]]:
    """Return when these jobs were created."""
    query = sa.select(JOB.c.token, JOB.c.created).where(JOB.c.token.in_(tokens))
    return [(JobToken(row.token), row.created) for row in db.execute(query)]


def newest(db: sa.Connection) -> int:
    """Return the number of the newest event; 0 if there is none."""
    return db.scalar(sa.select(sa.func.max(EVENT.c.seq))) or 0


def drop_before(db: sa.Connection, ended_before: float, most: int) -> int:
    """Delete at most *most* events of the repository; return how many.

    They are from before the newest job that ended before that tick. One of each kind is kept.

    The age of an event follows from the jobs around it, so a jump of the wall clock deletes nothing.
    """
    old = sa.select(JOB.c.token).where(IS_SWEPT, JOB.c.ended_ticks < ended_before)
    newest_old = old.order_by(JOB.c.ended_ticks.desc(), JOB.c.token.desc()).limit(1).scalar_subquery()
    line = db.scalar(sa.select(sa.func.max(EVENT.c.seq)).where(EVENT.c.token == newest_old))
    if line is None:
        return 0
    kept = [db.scalar(_newest(kind).with_only_columns(EVENT.c.seq)) for kind in _KINDS]
    before = sa.select(EVENT.c.seq).where(IS_OF_REPOSITORY, EVENT.c.seq < line, EVENT.c.seq.not_in(filter(None, kept)))
    return db.execute(sa.delete(EVENT).where(EVENT.c.seq.in_(before.limit(most)))).rowcount


def _append_status(db: sa.Connection, at: datetime) -> None:
    """Write an event with the state of the repository, if it differs from the last one."""
    state = PROCESSING if db.scalar(_BUSY) else IDLE
    last = _last(db, RepositoryStatusChanged)
    if state != (last["state"] if last else IDLE):
        db.execute(sa.insert(EVENT), _row(RepositoryStatusChanged(state, at)))


def _last(db: sa.Connection, kind: type[RepositoryEvent]) -> Any:
    """Return the fields of the newest event of this kind; None if there is none."""
    return db.scalar(_newest(kind))


def _newest(kind: type[RepositoryEvent]) -> sa.Select[Any]:
    """Return the query for the fields of the newest event of this kind."""
    query = sa.select(EVENT.c.fields).where(IS_OF_REPOSITORY, EVENT.c.kind == kind.__name__)
    return query.order_by(EVENT.c.seq.desc()).limit(1)


def _row(event: Event | RepositoryEvent, token: str | None = None, version: int = 0) -> dict[str, Any]:
    kind, fields = to_record(event)
    return {"token": token, "kind": kind, "at": event.at, "fields": fields, "version": version}
