"""Tokens of the API as rows. Functions on an open transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from postscan.core.errors import InvalidArgument
from postscan.core.model.accounts.session import ApiToken
from postscan.core.model.principal import Role
from postscan.core.store.callers.tables import TOKEN

_COLUMN: Final = TOKEN.c


def insert(db: sa.Connection, token: ApiToken, secret_hash: str) -> None:
    """Store a new token; raise `InvalidArgument` if its label is taken."""
    values = {
        "label": token.label,
        "secret_hash": secret_hash,
        "role": token.role,
        "user_sid": token.sid,
        "created": token.created,
        "created_by": token.created_by,
        "until": token.until,
    }
    try:
        db.execute(sa.insert(TOKEN), values)
    except sa.exc.IntegrityError:
        raise InvalidArgument("label", token.label, "one that no token has") from None


def find(db: sa.Connection, secret_hash: str, at: datetime) -> ApiToken | None:
    """Return the token with this secret that counts at this time; None if there is none."""
    row = db.execute(sa.select(TOKEN).where(_COLUMN.secret_hash == secret_hash, _COLUMN.until > at)).one_or_none()
    return _token(row) if row is not None else None


def load_page(db: sa.Connection, last: ApiToken | None, most: int) -> list[ApiToken]:
    """Return at most so many tokens behind *last*, by label; also those whose time is over."""
    query = sa.select(TOKEN).order_by(_COLUMN.label).limit(most)
    return [_token(row) for row in db.execute(query if last is None else query.where(_COLUMN.label > last.label))]


def count(db: sa.Connection) -> int:
    """Return how many tokens there are."""
    return db.scalar(sa.select(sa.func.count()).select_from(TOKEN)) or 0


def delete(db: sa.Connection, label: str) -> bool:
    """Delete a token; return whether there was one."""
    return db.execute(sa.delete(TOKEN).where(_COLUMN.label == label)).rowcount == 1


def _token(row: sa.Row[Any]) -> ApiToken:
    return ApiToken(row.label, Role(row.role), row.created, row.created_by, row.until, row.user_sid)
