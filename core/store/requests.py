"""Stored responses to requests that may be repeated. Functions on an open transaction, for `core.store` alone."""

from __future__ import annotations

import sqlalchemy as sa

from postscan.core.model.records import RequestKey, StoredResponse
from postscan.core.store.schema import REQUEST


def write_response(db: sa.Connection, answer: StoredResponse) -> None:
    """Keep an answer; raise `IntegrityError` if there is one to a request of the same name."""
    db.execute(
        sa.insert(REQUEST),
        {
            "owner": answer.owner,
            "message_id": answer.request.message_id,
            "verb": answer.verb,
            "digest": answer.request.digest,
            "result": answer.result,
            "ticks": answer.ticks,
        },
    )


def read_response(db: sa.Connection, owner: str, message_id: str) -> StoredResponse | None:
    """Return the answer that was given to a request of this name."""
    query = sa.select(REQUEST).where(REQUEST.c.owner == owner, REQUEST.c.message_id == message_id)
    row = db.execute(query).one_or_none()
    if row is None:
        return None
    return StoredResponse(row.owner, RequestKey(row.message_id, row.digest), row.verb, row.result, row.ticks)


def drop_responses_before(db: sa.Connection, ticks: float) -> int:
    """Forget the answers that nobody will ask for again; return how many they were."""
    return db.execute(sa.delete(REQUEST).where(REQUEST.c.ticks < ticks)).rowcount
