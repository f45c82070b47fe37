"""Requests with a token that is not the caller's, counted by several servers. Functions on an open transaction.

Times are ticks. The table is not logged: after a crash of the database the count begins anew.
"""

from __future__ import annotations

import sqlalchemy as sa

from postscan.core.store.cluster.tables import MISS

_NOT_SYNCED = sa.text("set local synchronous_commit = off")


def newest(db: sa.Connection, who: str, since: float, most: int) -> list[float]:
    """Return when the newest *most* such requests of a caller came, behind *since*, newest first."""
    c = MISS.c
    query = sa.select(c.at).where(c.who == who, c.at > since).order_by(c.at.desc()).limit(most)
    return list(db.scalars(query))


def write(db: sa.Connection, who: str, at: float) -> None:
    """Count a request of a caller."""
    db.execute(_NOT_SYNCED)
    db.execute(sa.insert(MISS), {"who": who, "at": at})


def remove(db: sa.Connection, before: float) -> None:
    """Delete the requests from before this tick."""
    db.execute(sa.delete(MISS).where(MISS.c.at < before))
