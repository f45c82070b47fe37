"""The audit trail. Functions on an open transaction: a line is stored with the change that it describes."""

from __future__ import annotations

import sqlalchemy as sa

from postscan.core.model.records import AuditLine
from postscan.core.store.schema import AUDIT


def write_audit(db: sa.Connection, line: AuditLine) -> None:
    """Append a line."""
    values = line._asdict()
    del values["seq"]
    db.execute(sa.insert(AUDIT), values)


def read_audit(db: sa.Connection, token: str | None, limit: int) -> list[AuditLine]:
    """Return the newest lines, oldest first; of one job, or of all."""
    query = sa.select(AUDIT).order_by(AUDIT.c.seq.desc()).limit(limit)
    if token is not None:
        query = query.where(AUDIT.c.token == token)
    return [AuditLine(**row._mapping) for row in reversed(db.execute(query).all())]
