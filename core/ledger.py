"""What is written down beside the jobs: answers that may be asked for again, who did what, where the clock stood.

Functions on an open transaction, for `postscan.core.store` alone: an answer and a line of the audit trail are stored
together with the change that they belong to, or not at all.
"""

from __future__ import annotations

import sqlalchemy as sa

from postscan.core.clock import Mark
from postscan.core.model.records import Answer, AuditLine, Request
from postscan.core.schema import AUDIT, MARK, REQUEST


def write_answer(db: sa.Connection, answer: Answer) -> None:
    """Keep an answer; raise `IntegrityError` if there is one to a request of the same name."""
    db.execute(
        sa.insert(REQUEST),
        {
            "owner": answer.owner,
            "message_id": answer.request.message_id,
            "verb": answer.verb,
            "digest": answer.request.digest,
            "result": answer.result,
            "ticks": answer.ticks,
        },
    )


def read_answer(db: sa.Connection, owner: str, message_id: str) -> Answer | None:
    """Return the answer that was given to a request of this name."""
    query = sa.select(REQUEST).where(REQUEST.c.owner == owner, REQUEST.c.message_id == message_id)
    row = db.execute(query).one_or_none()
    if row is None:
        return None
    return Answer(row.owner, Request(row.message_id, row.digest), row.verb, row.result, row.ticks)


def drop_answers_before(db: sa.Connection, ticks: float) -> int:
    """Forget the answers that nobody will ask for again; return how many they were."""
    return db.execute(sa.delete(REQUEST).where(REQUEST.c.ticks < ticks)).rowcount


def write_audit(db: sa.Connection, line: AuditLine) -> None:
    """Append to the audit trail."""
    values = line._asdict()
    del values["seq"]
    db.execute(sa.insert(AUDIT), values)


def read_audit(db: sa.Connection, token: str | None, limit: int) -> list[AuditLine]:
    """Return the newest lines, oldest first; of one job, or of all."""
    query = sa.select(AUDIT).order_by(AUDIT.c.seq.desc()).limit(limit)
    if token is not None:
        query = query.where(AUDIT.c.token == token)
    return [AuditLine(**row._mapping) for row in reversed(db.execute(query).all())]


def read_mark(db: sa.Connection) -> Mark | None:
    """Return where the steady clock stood when it was last written down."""
    row = db.execute(sa.select(MARK.c.boot, MARK.c.uptime, MARK.c.ticks).where(MARK.c.id == 1)).one_or_none()
    return Mark(*row) if row is not None else None


def write_mark(db: sa.Connection, mark: Mark) -> None:
    """Write down where the steady clock stands."""
    db.execute(sa.delete(MARK))
    db.execute(sa.insert(MARK), {"id": 1, **mark._asdict()})
