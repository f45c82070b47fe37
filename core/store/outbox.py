"""Changes for subscribers: the events of one commit, folded into one `JobChange`; and which jobs have changed.

The event table is outbox and history at once: a change is folded out of the job's own events up to it, so it is the
same however often, and however late, it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import groupby
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from postscan.core.model.events import (
    Event,
    ImageReceived,
    JobEnded,
    RepositoryConfigurationChanged,
    RepositoryEvent,
    RepositoryStatusChanged,
    from_record,
)
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal, User
from postscan.core.model.snapshot import FilterSnapshot, JobChange, Snapshot
from postscan.core.model.states import FilterState, JobState
from postscan.core.store import events as store_events
from postscan.core.store.database.pages import Reading, at_most, of_jobs
from postscan.core.store.schema import EVENT, JOB, STEP, is_in

RowList = Sequence[sa.Row[Any]]

_EVENTS: Final[sa.Select[Any]] = sa.select(
    EVENT.c.seq, EVENT.c.token, EVENT.c.version, EVENT.c.kind, EVENT.c.at, EVENT.c.fields
)


class StepProgress(NamedTuple):
    """How far one filter is; there is no event of it."""

    position: int
    state: str
    attempt: int
    progress: str


_PROGRESS: Final = (
    sa.select(STEP.c.token, *(STEP.c[name] for name in StepProgress._fields))
    .join(JOB, JOB.c.token == STEP.c.token)
    .where(is_in(*(state.value for state in JobState if state.in_progress)))
    .order_by(STEP.c.token, STEP.c.position)
)


WINDOW: Final = 2000
"""Most events that one transaction looks at: an owner's may be few among those of others."""


def after(reading: Reading, cursor: int, limit: int, owner: Principal | None) -> tuple[list[JobChange], int]:
    """Return the changes in at most *limit* events behind the cursor, in order, and the cursor behind them.

    Of the jobs of one owner, by name and proof; of all jobs and the repository if *owner* is None. The cursor moves on
    even if there is no change, and stays where there is no event behind it. The last commit is completed beyond the
    limit, and beyond `WINDOW`.

    The histories of the jobs are read some jobs at a time. No event is added to them below the last one of the page,
    and a job that is deleted meanwhile is missing with all its events.
    """
    with reading() as db:
        newest = store_events.newest(db)
        last = _last(db, cursor, newest)
        page = _page(db, cursor, last, limit, owner)
    is_cut = len(page) >= limit
    if page and (is_cut or last < newest):
        with reading() as db:
            page = [*page, *_rest(db, page[-1])]
    end = page[-1].seq if page else last
    changes = [_of_repository(row) for row in page if row.token is None]
    tokens = sorted({row.token for row in page if row.token is not None})
    changes += of_jobs(reading, tokens, lambda db, some, most: _of_some(db, some, most, cursor, end))
    return sorted(changes, key=lambda one: one.seq), max(cursor, end if is_cut else max(end, last))


def owners_since(db: sa.Connection, cursor: int) -> tuple[set[tuple[str, str]], bool, int]:
    """Return the owners of jobs with changes behind the cursor, whether the repository has any, and the cursor behind.

    An owner is a name and a proof. Received images do not count. At most `WINDOW` events are looked at.
    """
    last = _last(db, cursor, store_events.newest(db))
    behind = (EVENT.c.seq > cursor, EVENT.c.seq <= last)
    owners = sa.select(JOB.c.owner, JOB.c.owner_proof).distinct().join(EVENT, EVENT.c.token == JOB.c.token)
    found = db.execute(owners.where(*behind, EVENT.c.kind != ImageReceived.__name__))
    of_repository = db.scalar(sa.select(sa.exists().where(*behind, EVENT.c.token.is_(None))))
    return {(row.owner, row.owner_proof) for row in found}, bool(of_repository), last


def waiting(db: sa.Connection, cursor: int, owner: Principal | None) -> tuple[int, int]:
    """Return how many of the next `WINDOW` events count, and the cursor behind these; of one owner or of all.

    Received images do not count.
    """
    last = _last(db, cursor, store_events.newest(db))
    query = sa.select(sa.func.count()).select_from(EVENT)
    query = query.where(EVENT.c.seq > cursor, EVENT.c.seq <= last, EVENT.c.kind != ImageReceived.__name__)
    return db.scalar(query if owner is None else query.where(_is_of(owner))) or 0, max(cursor, last)


def jobs_behind(db: sa.Connection, cursor: int, newest: int) -> set[JobToken]:
    """Return the jobs that have events behind the cursor, up to *newest*. For a short distance: each is looked at."""
    query = sa.select(EVENT.c.token).distinct().where(EVENT.c.seq > cursor, EVENT.c.seq <= newest)
    return {JobToken(token) for token in db.scalars(query.where(EVENT.c.token.is_not(None)))}


def progress(db: sa.Connection) -> dict[JobToken, tuple[StepProgress, ...]]:
    """Return how far the filters are, of each job that is Started, Processing or Terminating."""
    found: dict[JobToken, list[StepProgress]] = {}
    for token, *step in db.execute(_PROGRESS):
        found.setdefault(JobToken(token), []).append(StepProgress(*step))
    return {token: tuple(steps) for token, steps in found.items()}


def _last(db: sa.Connection, cursor: int, newest: int) -> int:
    """Return the number of the last event to look at; that of the newest one if no more than `WINDOW` are behind."""
    if newest - cursor <= WINDOW:
        return newest
    first = db.scalar(sa.select(sa.func.min(EVENT.c.seq)).where(EVENT.c.seq > cursor))  # the others were dropped
    return min(newest, (first or newest) + WINDOW - 1)


def _is_of(owner: Principal) -> sa.ColumnElement[bool]:
    """Return the condition that selects the events of an owner's jobs.

    No join: with one, SQLite starts from all jobs of the owner instead of the few events behind the cursor.
    """
    return sa.exists().where(JOB.c.token == EVENT.c.token, JOB.c.owner == owner.name, JOB.c.owner_proof == owner.proof)


def _page(db: sa.Connection, cursor: int, last: int, limit: int, owner: Principal | None) -> RowList:
    """Return the next *limit* events up to the last one."""
    query = _EVENTS.where(EVENT.c.seq > cursor, EVENT.c.seq <= last).order_by(EVENT.c.seq).limit(limit)
    return db.execute(query if owner is None else query.where(_is_of(owner))).all()


def _rest(db: sa.Connection, end: sa.Row[Any]) -> RowList:
    """Return the rest of the commit of an event, so that no commit is divided."""
    if end.token is None:
        return []
    rest = _EVENTS.where(EVENT.c.token == end.token, EVENT.c.version == end.version, EVENT.c.seq > end.seq)
    return db.execute(rest.order_by(EVENT.c.seq)).all()


def _of_some(db: sa.Connection, tokens: Sequence[str], most: float, cursor: int, end: int) -> list[JobChange]:
    """Return the changes of these jobs behind the cursor, up to *end*.

    Raises `TooManyRows` if they have more than *most* events and filters.
    """
    of = EVENT.c.token.in_(tokens), EVENT.c.seq <= end
    read = at_most(db, _EVENTS.where(*of).order_by(EVENT.c.token, EVENT.c.seq), most)
    histories = {token: list(rows) for token, rows in groupby(read, key=lambda row: row.token)}
    beginnings = _beginnings(db, tokens, most - len(read))
    return [change for job in beginnings for change in _of_job(job, histories[job.token], cursor)]


def _beginnings(db: sa.Connection, tokens: Sequence[str], most: float) -> Iterator[Snapshot]:
    """Yield the jobs as they were before their first event; raise `TooManyRows` as `_of_some`."""
    c = JOB.c
    query = sa.select(
        c.token, c.user_sid, c.user_name, c.user_mail, c.process_id, c.process_name, c.created, STEP.c.dialect
    ).outerjoin(STEP, STEP.c.token == c.token)
    found = at_most(db, query.where(c.token.in_(tokens)).order_by(c.token, STEP.c.position), most)
    for token, rows in groupby(found, key=lambda row: row.token):
        steps = list(rows)
        row = steps[0]
        yield Snapshot(
            token=JobToken(token),
            user=User(row.user_sid, row.user_name, row.user_mail),
            process_id=row.process_id,
            process_name=row.process_name,
            state=JobState.CREATING,
            reasons=(),
            steps=tuple(
                FilterSnapshot(step.dialect, FilterState.PENDING, ()) for step in steps if step.dialect is not None
            ),
            images_received=0,
            created=row.created,
            completed=None,
        )


def _of_job(job: Snapshot, history: RowList, cursor: int) -> Iterator[JobChange]:
    """Yield the changes of a job behind the cursor; *history* is all its events from the first one."""
    for number, (_version, rows) in enumerate(groupby(history, key=lambda row: row.version)):
        commit = list(rows)
        events = [_event(row) for row in commit]
        before, job = job, reduce(Snapshot.after, events, job)
        if commit[-1].seq > cursor and (number == 0 or job.status_differs(before)):
            ended = any(isinstance(event, JobEnded) for event in events)
            yield JobChange(commit[-1].seq, job, first=number == 0, ended=ended)


def _of_repository(row: sa.Row[Any]) -> JobChange:
    match _event(row):
        case RepositoryStatusChanged(state):
            return JobChange(row.seq, None, state=state)
        case RepositoryConfigurationChanged(filters):
            return JobChange(row.seq, None, filters=filters)
    raise AssertionError(f"event {row.seq} has no token, and is a {row.kind}")


def _event(row: sa.Row[Any]) -> Event | RepositoryEvent:
    return from_record(row.kind, row.fields, row.at)
