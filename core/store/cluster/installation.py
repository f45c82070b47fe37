"""What the database has of its installation: its revision, the position of the steady clock, and the spool.

Functions on an open transaction, for `core.store` alone.
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from postscan.core.clock import Mark
from postscan.core.store.schema import MARK, SPOOL

_REVISION = sa.table("alembic_version", sa.column("version_num"))  # Alembic's own


class SpoolRow(NamedTuple):
    """The spool of the database: its identifier, and the folder and machine from which it was last served."""

    identifier: str
    place: str


def read_revision(db: sa.Connection) -> str:
    """Return the revision of the schema; "" if the database has none."""
    return db.scalar(sa.select(sa.func.max(_REVISION.c.version_num))) or ""


def read_mark(db: sa.Connection) -> Mark | None:
    """Return the steady clock's position when it was last stored; None if it never was."""
    row = db.execute(sa.select(MARK.c.boot, MARK.c.uptime, MARK.c.ticks).where(MARK.c.id == 1)).one_or_none()
    return Mark(*row) if row is not None else None


def write_mark(db: sa.Connection, mark: Mark) -> None:
    """Store the steady clock's position."""
    db.execute(sa.delete(MARK))
    db.execute(sa.insert(MARK), {"id": 1, **mark._asdict()})


def read_spool(db: sa.Connection) -> SpoolRow | None:
    """Return the spool of this database; None if it has none yet."""
    row = db.execute(sa.select(SPOOL.c.identifier, SPOOL.c.place).where(SPOOL.c.id == 1)).one_or_none()
    return SpoolRow(*row) if row is not None else None


def write_spool(db: sa.Connection, spool: SpoolRow) -> None:
    """Store which spool is that of this database."""
    db.execute(sa.delete(SPOOL))
    db.execute(sa.insert(SPOOL), {"id": 1, **spool._asdict()})
