"""A lock for each owner of jobs, for what is counted before it may grow. Functions on an open transaction.

SQLite has one writer at a time. On PostgreSQL two transactions do not see what the other one has not committed, so both
would find room for the last one.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

_TAKE: Final = sa.text("select pg_advisory_xact_lock(hashtextextended(:name, 'job'::regclass::oid::bigint))")


def take(db: sa.Connection, owner: str) -> None:
    """Let other transactions that take the lock of this owner wait until this one has ended.

    What is read behind this call has what they have committed.
    """
    if db.dialect.name == "postgresql":
        db.execute(_TAKE, {"name": f"owner {owner}"})
