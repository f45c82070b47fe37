"""Stored responses to requests that may be repeated. Functions on an open transaction, for `core.store` alone."""

from __future__ import annotations

import sqlalchemy as sa

from postscan.core.model.records import RequestKey, StoredResponse
from postscan.core.store.schema import REQUEST


def write_response(db: sa.Connection, response: StoredResponse) -> None:
    """Store a response; raise `IntegrityError` if the owner has one to a request with the same MessageID."""
    db.execute(
        sa.insert(REQUEST),
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
    query = sa.select(REQUEST).where(REQUEST.c.owner == owner, REQUEST.c.message_id == message_id)
    row = db.execute(query).one_or_none()
    if row is None:
        return None
    return StoredResponse(row.owner, RequestKey(row.message_id, row.digest), row.verb, row.result, row.ticks)


def drop_responses_before(db: sa.Connection, ticks: float, most: int) -> int:
    """Delete at most *most* responses from before this tick; return how many."""
    key = sa.tuple_(REQUEST.c.owner, REQUEST.c.message_id)
    old = sa.select(REQUEST.c.owner, REQUEST.c.message_id).where(REQUEST.c.ticks < ticks).limit(most)
    return db.execute(sa.delete(REQUEST).where(key.in_(old))).rowcount
