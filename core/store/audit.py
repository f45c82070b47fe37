"""What is written down beside the jobs: answers that may be asked for again, who did what, where the clock stood.

Functions on an open transaction, for `postscan.core.store.store` alone: an answer and a line of the audit trail are
stored together with the change that they belong to, or not at all.
"""

from __future__ import annotations

import sqlalchemy as sa

from postscan.core.clock import Mark
from postscan.core.model.records import AuditLine
from postscan.core.store.schema import AUDIT, MARK


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
