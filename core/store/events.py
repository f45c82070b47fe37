"""Events, written in the transaction of the change that they tell of, and numbered in the order of the commits.

Functions on an open transaction. A commit that takes the first job in hand, or the last one out of it, moves the
repository as well, and says so itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from postscan.core.model.events import (
    Event,
    JobStateChanged,
    RepositoryConfigurationChanged,
    RepositoryEvent,
    RepositoryStatusChanged,
    to_record,
)
from postscan.core.model.job import Job
from postscan.core.model.states import JobState
from postscan.core.store.schema import EVENT, JOB

IDLE: Final = "Idle"
PROCESSING: Final = "Processing"

_IN_HAND: Final = [state.value for state in JobState if state.in_progress]
_OF_REPOSITORY: Final = EVENT.c.token.is_(None)
_TURN: Final = 0x706F7374


def append(db: sa.Connection, job: Job) -> None:
    """Write the events that the job has collected, with its version, and what they mean for the repository."""
    if not job.events:
        return
    take_turn(db)
    db.execute(sa.insert(EVENT), [_row(event, job.token, job.version) for event in job.events])
    if any(isinstance(event, JobStateChanged) and _moves_repository(event) for event in job.events):
        _append_status(db, job.events[-1].at)
    job.events.clear()


def append_filters(db: sa.Connection, dialects: Iterable[str], at: datetime) -> None:
    """Write down which filters can be used, if they are others than the last time; the first time as well."""
    take_turn(db)
    filters = sorted(dialects)
    last = _last(db, RepositoryConfigurationChanged)
    if last is None or last["filters"] != filters:
        db.execute(sa.insert(EVENT), _row(RepositoryConfigurationChanged(tuple(filters), at)))


def take_turn(db: sa.Connection) -> None:
    """Let no other transaction write events, or subscribe to them, until this one has ended.

    SQLite has one writer at a time anyway. PostgreSQL draws numbers long before the commit: without this, a reader
    could see number 8 while 7 is not committed yet, move its cursor behind 8, and never see 7.
    """
    if db.dialect.name == "postgresql":
        db.execute(sa.select(sa.func.pg_advisory_xact_lock(_TURN)))


def newest(db: sa.Connection) -> int:
    """Return the number of the newest event; 0 if there is none."""
    return db.scalar(sa.select(sa.func.max(EVENT.c.seq))) or 0


def drop_before(db: sa.Connection, ended_before: float) -> None:
    """Forget what happened to the repository before a job that ended before that tick, but for the newest of each kind.

    The jobs tell how old the events between theirs are, so a jump of the wall clock removes nothing.
    """
    old = sa.select(JOB.c.token).where(JOB.c.ended_ticks < ended_before)
    line = db.scalar(sa.select(sa.func.max(EVENT.c.seq)).where(EVENT.c.token.in_(old)))
    if line is None:
        return
    kept = sa.select(sa.func.max(EVENT.c.seq)).where(_OF_REPOSITORY).group_by(EVENT.c.kind)
    db.execute(sa.delete(EVENT).where(_OF_REPOSITORY, EVENT.c.seq < line, EVENT.c.seq.not_in(kept)))


def _moves_repository(event: JobStateChanged) -> bool:
    """Return whether a job came in hand with this event, or may have left it."""
    state = JobState(event.state)
    return state.in_progress or state.ended


def _append_status(db: sa.Connection, at: datetime) -> None:
    """Write down the state of the repository if it is another than the last time."""
    busy = db.scalar(sa.select(sa.exists().where(JOB.c.state.in_(_IN_HAND))))
    state = PROCESSING if busy else IDLE
    last = _last(db, RepositoryStatusChanged)
    if state != (last["state"] if last else IDLE):
        db.execute(sa.insert(EVENT), _row(RepositoryStatusChanged(state, at)))


def _last(db: sa.Connection, kind: type[RepositoryEvent]) -> Any:
    """Return the fields of the newest event of this kind; None if there is none."""
    query = sa.select(EVENT.c.fields).where(_OF_REPOSITORY, EVENT.c.kind == kind.__name__)
    return db.scalar(query.order_by(EVENT.c.seq.desc()).limit(1))


def _row(event: Event | RepositoryEvent, token: str | None = None, version: int = 0) -> dict[str, Any]:
    kind, fields = to_record(event)
    return {"token": token, "kind": kind, "at": event.at, "fields": fields, "version": version}
