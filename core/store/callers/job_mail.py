"""Mails that are to be sent, and the number of the last event that was looked at for them.

Functions on an open transaction. A mail is found and the cursor moved in one transaction, and a mail is deleted when
it is sent: so an event leads to one mail, whatever ends the server meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import sqlalchemy as sa

from postscan.core.model.events import JobEnded, JobStateChanged
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobReason, JobState
from postscan.core.store import events
from postscan.core.store.schema import EVENT, JOB, JOB_MAIL, JOB_MAIL_CURSOR

WINDOW: Final = 1000
"""Most events that one transaction looks at."""

FAILED: Final = frozenset(JobReason) - {JobReason.CANCELED, JobReason.SUCCEEDED, JobReason.WARNINGS}
"""Reasons of jobs that have failed, or have errors."""


class JobMail(NamedTuple):
    """A job of the user with this SID has failed or is held, as `kind` says, by the event with the number `seq`."""

    seq: int
    token: JobToken
    kind: str
    sid: str
    at: datetime
    tries: int = 0
    due: float = 0.0


class Found(NamedTuple):
    """What happened behind a cursor, and the cursor behind that."""

    mails: list[JobMail]
    cursor: int


def cursor(db: sa.Connection) -> int | None:
    """Return the number of the last event that was looked at; None if no mails were wanted."""
    return db.scalar(sa.select(JOB_MAIL_CURSOR.c.seq))


def newest(db: sa.Connection) -> int:
    """Return the number of the newest event."""
    return events.newest(db)


def find(db: sa.Connection, cursor: int) -> Found:
    """Return the mails of at most `WINDOW` events behind the cursor."""
    columns = (EVENT.c.seq, EVENT.c.token, EVENT.c.kind, EVENT.c.at, EVENT.c.fields, JOB.c.user_sid)
    page = sa.select(EVENT.c.seq).where(EVENT.c.seq > cursor).order_by(EVENT.c.seq).limit(WINDOW)
    last = db.scalar(sa.select(sa.func.max(page.subquery().c.seq)))
    if last is None:
        return Found([], cursor)
    query = sa.select(*columns).join(JOB, JOB.c.token == EVENT.c.token).order_by(EVENT.c.seq)
    kinds = (JobEnded.__name__, JobStateChanged.__name__)
    rows = db.execute(query.where(EVENT.c.seq > cursor, EVENT.c.seq <= last, EVENT.c.kind.in_(kinds)))
    found = ((row, _kind(row.kind, row.fields)) for row in rows)
    return Found([JobMail(row.seq, row.token, kind, row.user_sid, row.at) for row, kind in found if kind], last)


def add(db: sa.Connection, mails: Sequence[JobMail], cursor: int) -> None:
    """Store mails that are to be sent, and the cursor behind them; one that waits for the same job and kind stays."""
    for mail in mails:
        same = (JOB_MAIL.c.token == mail.token, JOB_MAIL.c.kind == mail.kind)
        if db.scalar(sa.select(sa.exists().where(*same))):
            continue
        db.execute(sa.insert(JOB_MAIL), mail._asdict())
    write_cursor(db, cursor)


def write_cursor(db: sa.Connection, cursor: int) -> None:
    """Store the cursor."""
    db.execute(sa.delete(JOB_MAIL_CURSOR))
    db.execute(sa.insert(JOB_MAIL_CURSOR), {"id": 1, "seq": cursor})


def forget(db: sa.Connection) -> None:
    """Delete all mails and the cursor: none are wanted."""
    db.execute(sa.delete(JOB_MAIL))
    db.execute(sa.delete(JOB_MAIL_CURSOR))


def count(db: sa.Connection) -> int:
    """Return how many mails are to be sent."""
    return db.scalar(sa.select(sa.func.count()).select_from(JOB_MAIL)) or 0


def due(db: sa.Connection, ticks: float, most: int) -> list[JobMail]:
    """Return the oldest mails whose time has come."""
    query = sa.select(JOB_MAIL).where(JOB_MAIL.c.due <= ticks).order_by(JOB_MAIL.c.seq).limit(most)
    return [JobMail(**row._mapping) for row in db.execute(query)]


def postpone(db: sa.Connection, mail: JobMail, due: float) -> None:
    """Store that the mail server did not take a mail now."""
    query = sa.update(JOB_MAIL).where(JOB_MAIL.c.seq == mail.seq)
    db.execute(query.values(tries=mail.tries + 1, due=due))


def remove(db: sa.Connection, mail: JobMail) -> None:
    """Delete a mail that is sent, or is not to be sent."""
    db.execute(sa.delete(JOB_MAIL).where(JOB_MAIL.c.seq == mail.seq))


def _kind(event: str, fields: dict[str, object]) -> str:
    """Return the kind of mail that an event leads to, "" if to none."""
    if event == JobStateChanged.__name__:
        return "held" if fields.get("state") == JobState.HELD else ""
    reasons = fields.get("reasons")
    return "failed" if isinstance(reasons, list) and FAILED & set(reasons) else ""
