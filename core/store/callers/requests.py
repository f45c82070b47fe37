"""Stored responses to requests that may be repeated. Functions on an open transaction, for `core.store` alone."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from postscan.core.model.records import RequestKey, StoredResponse
from postscan.core.store.schema import REQUEST

# Built once: see core.store.jobs.
_INSERT: Final = sa.insert(REQUEST)
_READ: Final = sa.select(REQUEST).where(
    REQUEST.c.owner == sa.bindparam("of_owner"), REQUEST.c.message_id == sa.bindparam("of_message")
)


def write_response(db: sa.Connection, response: StoredResponse) -> None:
    """Store a response; raise `IntegrityError` if the owner has one to a request with the same MessageID."""
    db.execute(
        _INSERT,
        {
            "owner": response.owner,
            "message_id": response.request.message_id,
            "verb": response.verb,
            "digest": response.request.digest,
            "result": response.result,
            "ticks": response.ticks,
        },
    )


def read_response(db: sa.Connection, owner: str, message_id: str) -> StoredResponse | None:
    """Return the response to the owner's request with this MessageID; None if there is none."""
    row = db.execute(_READ, {"of_owner": owner, "of_message": message_id}).one_or_none()
    if row is None:
        return None
    return StoredResponse(row.owner, RequestKey(row.message_id, row.digest), row.verb, row.result, row.ticks)


def drop_responses_before(db: sa.Connection, ticks: float, most: int) -> int:
    """Delete at most *most* responses from before this tick; return how many."""
    key = sa.tuple_(REQUEST.c.owner, REQUEST.c.message_id)
    old = sa.select(REQUEST.c.owner, REQUEST.c.message_id).where(REQUEST.c.ticks < ticks).limit(most)
    return db.execute(sa.delete(REQUEST).where(key.in_(old))).rowcount
