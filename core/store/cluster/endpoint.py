"""The endpoint that all servers of a PostgreSQL database are to devices. Functions on an open transaction."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from postscan.core.store.cluster.tables import ENDPOINT

_INSERT: Final = postgresql.insert(ENDPOINT)
_FIRST: Final = _INSERT.on_conflict_do_nothing(index_elements=[ENDPOINT.c.id])
_NEXT: Final = _INSERT.on_conflict_do_update(
    index_elements=[ENDPOINT.c.id],
    set_={"instance": sa.func.greatest(ENDPOINT.c.instance + 1, _INSERT.excluded.instance)},
).returning(ENDPOINT.c.instance)


def name(db: sa.Connection, own: str) -> str:
    """Return the name of the endpoint; the first server that asks brings its *own*."""
    db.execute(_FIRST, {"id": 1, "name": own, "instance": 0})
    found: str = db.scalars(sa.select(ENDPOINT.c.name)).one()
    return found


def next_instance(db: sa.Connection, own: str, least: int) -> int:
    """Return a number that is larger than each one before, and at least *least*; *own* as in `name`."""
    number: int = db.scalars(_NEXT, {"id": 1, "name": own, "instance": least}).one()
    return number
