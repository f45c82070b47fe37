"""Origins as rows, and the rule for their keys. Functions on an open transaction, for `core.store` and its callers.

The key of an inlet is one job at most. It is free again when its job failed before its end, and when it is forgotten:
after its time, and not before the end of its job's row if it is remembered with the job. A key of a job that still
takes pages is never forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from postscan.core.model.job import JobToken
from postscan.core.model.records import JobOrigin, OriginProof
from postscan.core.model.states import JobState
from postscan.core.store.schema import JOB
from postscan.core.store.sources.tables import ORIGIN

AGAIN: Final = 86_400.0
"""Seconds after which a row is looked at again that is kept because its job is."""

SOON: Final = 60.0
"""The same for a job that still takes pages."""

_HELD: Final = (
    sa.select(ORIGIN.c.token, ORIGIN.c.until, ORIGIN.c.with_job, JOB.c.state)
    .outerjoin(JOB, JOB.c.token == ORIGIN.c.token)
    .where(ORIGIN.c.inlet == sa.bindparam("of_inlet"), ORIGIN.c.key_hash == sa.bindparam("of_key"))
)
_RELEASE: Final = sa.update(ORIGIN).where(ORIGIN.c.token == sa.bindparam("of_token")).values(key_hash=None)
_INSERT: Final = sa.insert(ORIGIN)


class KeyHeld(Exception):
    """The key is a job already; nothing was stored."""

    def __init__(self, token: JobToken) -> None:
        super().__init__(token)
        self.token = token


class OriginRow(NamedTuple):
    """A new origin, and the tick *now* at which it is stored."""

    origin: JobOrigin
    now: float


class HeldKey(NamedTuple):
    """The job of a key, and its state; None if the job was deleted."""

    token: JobToken
    state: JobState | None


def write_origin(db: sa.Connection, row: OriginRow) -> None:
    """Store the origin of a new job; raise `KeyHeld` if its key is remembered for another one."""
    origin = row.origin
    held = db.execute(_HELD, {"of_inlet": origin.inlet, "of_key": origin.key}).one_or_none()
    if held is not None:
        if _is_remembered(held.until, held.with_job, held.state, row.now):
            raise KeyHeld(JobToken(held.token))
        release(db, held.token)
    values = {
        "token": origin.token,
        "inlet": origin.inlet,
        "key_hash": origin.key,
        "proof": origin.proof,
        "subject": origin.subject,
        "account": origin.account,
        "destination": origin.destination,
        "until": origin.until,
        "with_job": origin.with_job,
    }
    try:
        db.execute(_INSERT, values)
    except sa.exc.IntegrityError:  # on PostgreSQL, another transaction has stored it meanwhile
        raise KeyHeld(JobToken("")) from None


def release(db: sa.Connection, token: str) -> None:
    """Let the key of this job be free again."""
    db.execute(_RELEASE, {"of_token": token})


def find_key(db: sa.Connection, inlet: str, key: str, now: float) -> HeldKey | None:
    """Return the job of a key, and its state; None if the key is free at tick *now*."""
    held = db.execute(_HELD, {"of_inlet": inlet, "of_key": key}).one_or_none()
    if held is None or not _is_remembered(held.until, held.with_job, held.state, now):
        return None
    return HeldKey(JobToken(held.token), None if held.state is None else JobState(held.state))


def of_job(db: sa.Connection, token: str) -> JobOrigin | None:
    """Return the origin of a job; None if no source made it."""
    row = db.execute(sa.select(ORIGIN).where(ORIGIN.c.token == token)).one_or_none()
    if row is None:
        return None
    return JobOrigin(
        token=JobToken(row.token),
        inlet=row.inlet,
        key=row.key_hash or "",
        proof=OriginProof(row.proof),
        subject=row.subject,
        account=row.account,
        destination=row.destination,
        until=row.until,
        with_job=row.with_job,
        told=row.told,
    )


def record_told(db: sa.Connection, inlet: str, token: str, outcome: str) -> bool:
    """Store what the origin of a job said to its cancel; return whether the job came through this inlet."""
    query = sa.update(ORIGIN).where(ORIGIN.c.token == token, ORIGIN.c.inlet == inlet)
    return db.execute(query.values(told=outcome)).rowcount == 1


def record_notes(db: sa.Connection, inlet: str, token: str, notes: Sequence[str]) -> bool:
    """Store all notes about a job, each one line; return whether the job came through this inlet."""
    query = sa.update(ORIGIN).where(ORIGIN.c.token == token, ORIGIN.c.inlet == inlet)
    return db.execute(query.values(notes="\n".join(notes))).rowcount == 1


def notes_of(db: sa.Connection, token: str) -> tuple[str, ...]:
    """Return the notes about a job in their order; none if no source made it."""
    found = db.scalar(sa.select(ORIGIN.c.notes).where(ORIGIN.c.token == token))
    return tuple(found.split("\n")) if found else ()


def ended_of(db: sa.Connection, tokens: Sequence[str]) -> dict[JobToken, JobState | None]:
    """Return those of a few jobs that take no pages any more, with their states; None for one that was deleted."""
    rows = db.execute(sa.select(JOB.c.token, JOB.c.state).where(JOB.c.token.in_(tokens)))
    found = {row.token: row.state for row in rows}
    states = {JobToken(token): JobState(found[token]) if token in found else None for token in tokens}
    return {token: state for token, state in states.items() if state is not JobState.CREATING}


def forget(db: sa.Connection, now: float, most: int) -> int:
    """Look at *most* rows whose time is over: delete those whose jobs are gone; return how many rows there were.

    Of the others, those that are not remembered with their jobs lose their keys; all are looked at again later.
    """
    query = sa.select(ORIGIN.c.token, ORIGIN.c.with_job, JOB.c.state).outerjoin(JOB, JOB.c.token == ORIGIN.c.token)
    over = db.execute(query.where(ORIGIN.c.until <= now).order_by(ORIGIN.c.until).limit(most)).all()
    gone = [row.token for row in over if row.state is None]
    open_ = [row.token for row in over if row.state == JobState.CREATING]
    kept = [row.token for row in over if row.state not in (None, JobState.CREATING)]
    freed = [row.token for row in over if row.token in kept and not row.with_job]
    if gone:
        db.execute(sa.delete(ORIGIN).where(ORIGIN.c.token.in_(gone)))
    for tokens, values in (
        (freed, {"key_hash": None}),
        (kept, {"until": now + AGAIN}),
        (open_, {"until": now + SOON}),
    ):
        if tokens:
            db.execute(sa.update(ORIGIN).where(ORIGIN.c.token.in_(tokens)).values(values))
    return len(over)


def _is_remembered(until: float, with_job: bool, state: str | None, now: float) -> bool:
    return until > now or state == JobState.CREATING or (with_job and state is not None)
