"""The audit trail. Functions on an open transaction: a line is stored with the change that it describes.

The database rejects changes of the trail. It lets a line be deleted only while the line's number stands in
`audit_exported`, which is so within the transaction of `drop` alone.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from postscan.core.model.records import AuditLine
from postscan.core.store.schema import AUDIT, AUDIT_EXPORTED

_INSERT: Final = sa.insert(AUDIT)  # built once: see core.store.jobs


def write_audit(db: sa.Connection, line: AuditLine) -> None:
    """Append a line."""
    values = line._asdict()
    del values["seq"]
    db.execute(_INSERT, values)


def read_newest(db: sa.Connection, token: str | None, limit: int, last: AuditLine | None) -> list[AuditLine]:
    """Return the newest lines, or those before *last*, newest first; of one job, or of all."""
    query = sa.select(AUDIT).order_by(AUDIT.c.seq.desc()).limit(limit)
    if token is not None:
        query = query.where(AUDIT.c.token == token)
    if last is not None:
        query = query.where(AUDIT.c.seq < last.seq)
    return _lines(db, query)


def read_behind(db: sa.Connection, seq: int, limit: int) -> list[AuditLine]:
    """Return the first lines behind the one with this number, oldest first."""
    return _lines(db, sa.select(AUDIT).where(AUDIT.c.seq > seq).order_by(AUDIT.c.seq).limit(limit))


def read_numbered(db: sa.Connection, numbers: Collection[int]) -> dict[int, AuditLine]:
    """Return the lines with these numbers, by their numbers; those that are there."""
    return {line.seq: line for line in _lines(db, sa.select(AUDIT).where(AUDIT.c.seq.in_(numbers)))}


def drop(db: sa.Connection, numbers: Collection[int]) -> int:
    """Delete the lines with these numbers; return how many there were."""
    if not numbers:
        return 0
    db.execute(sa.insert(AUDIT_EXPORTED), [{"seq": number} for number in numbers])
    dropped = db.execute(sa.delete(AUDIT).where(AUDIT.c.seq.in_(sa.select(AUDIT_EXPORTED.c.seq)))).rowcount
    db.execute(sa.delete(AUDIT_EXPORTED))
    return dropped


def _lines(db: sa.Connection, query: sa.Select[AuditLine]) -> list[AuditLine]:
    return [AuditLine(**row._mapping) for row in db.execute(query)]
