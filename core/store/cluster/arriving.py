"""Images that arrive at one of several servers, so that the others know of them. Functions on an open transaction.

A row is valid until its server has not renewed it for `SECONDS`, by the time of the database: then the server is gone,
and its uploads with it. Its loss with the database costs nothing: the table is not logged, and rows are renewed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from postscan.core.model.job import JobToken
from postscan.core.store.cluster.tables import ARRIVING
from postscan.core.store.schema import USAGE

SECONDS: Final = 10
"""How long a row is valid."""

_NOW: Final = sa.func.clock_timestamp()
_UNTIL: Final = _NOW + sa.text(f"interval '{SECONDS} seconds'")
_INSERT: Final = postgresql.insert(ARRIVING).values(until=_UNTIL)
_WRITE: Final = _INSERT.on_conflict_do_update(
    index_elements=[ARRIVING.c.id], set_={"until": _UNTIL, "reserved": _INSERT.excluded.reserved}
)
_IS_VALID: Final = ARRIVING.c.until > _NOW
_NOT_SYNCED: Final = sa.text("set local synchronous_commit = off")


class Arrival(NamedTuple):
    """An image that arrives at the server *member*, and the bytes that it has reserved for the job's owner."""

    id: str
    member: str
    token: JobToken
    owner: str
    reserved: int = 0


def write(db: sa.Connection, arrivals: Sequence[Arrival]) -> None:
    """Write that these images arrive now."""
    db.execute(_NOT_SYNCED)
    db.execute(_WRITE, [arrival._asdict() for arrival in arrivals])


def remove(db: sa.Connection, id: str) -> None:
    """Write that an image has arrived, or does not come any more."""
    db.execute(_NOT_SYNCED)
    db.execute(sa.delete(ARRIVING).where(ARRIVING.c.id == id))


def remove_old(db: sa.Connection) -> None:
    """Delete the rows of servers that are gone."""
    db.execute(sa.delete(ARRIVING).where(sa.not_(_IS_VALID)))


def tokens(db: sa.Connection, of: Sequence[str], without: str = "") -> set[JobToken]:
    """Return those of these jobs for which images arrive; with *without*, at another server than that."""
    c = ARRIVING.c
    query = sa.select(c.token).distinct().where(c.token.in_(of), c.member != without, _IS_VALID)
    return {JobToken(token) for token in db.scalars(query)}


def reserved(db: sa.Connection, owner: str, without: str) -> int:
    """Return how many bytes the images of an owner have reserved that arrive at other servers than this one."""
    c = ARRIVING.c
    query = sa.select(sa.func.sum(c.reserved)).where(c.owner == owner, c.member != without, _IS_VALID)
    found: Any = db.scalar(query)
    return int(found or 0)


def room_used(db: sa.Connection, arrival: Arrival) -> int:
    """Return the bytes of its owner that are stored, and that images reserve at all servers.

    This arrival counts as it is now. Call it under the lock of the owner.
    """
    c = ARRIVING.c
    query = sa.select(sa.func.sum(c.reserved)).where(c.owner == arrival.owner, c.id != arrival.id, _IS_VALID)
    others: Any = db.scalar(query)
    stored: Any = db.scalar(sa.select(USAGE.c.kept_bytes).where(USAGE.c.owner == arrival.owner))
    return int(others or 0) + int(stored or 0) + arrival.reserved
