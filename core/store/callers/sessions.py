"""Sessions of the console and one-time links as rows. Functions on an open transaction.

`postscan.core.service.accounts.sessions` has the rules.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from postscan.core.model.accounts.session import Session
from postscan.core.model.principal import Principal, Proof, Role, at_console
from postscan.core.store.callers.tables import LINK, SESSION

_COLUMN: Final = SESSION.c


class StoredSession(NamedTuple):
    """A session with the hash of its secret, and the stamp of the account that it depends on, "" if on none."""

    secret_hash: str
    session: Session
    stamp: str


def insert(db: sa.Connection, stored: StoredSession) -> None:
    """Store a new session of a person at the console."""
    session = stored.session
    person = session.principal
    assert person.role is not None
    values = {
        "secret_hash": stored.secret_hash,
        "name": person.name,
        "proof": person.proof,
        "role": person.role,
        "user_sid": person.sid,
        "way": session.way,
        "stamp": stored.stamp,
        "begun": session.begun,
        "seen": session.seen,
        "confirmed": session.confirmed,
    }
    db.execute(sa.insert(SESSION), values)


def find(db: sa.Connection, secret_hash: str) -> StoredSession | None:
    """Return the session with this secret, ended by its age or not; None if there is none."""
    row = db.execute(sa.select(SESSION).where(_COLUMN.secret_hash == secret_hash)).one_or_none()
    return _stored(row) if row is not None else None


def load_page(db: sa.Connection, last: StoredSession | None, most: int) -> list[StoredSession]:
    """Return at most so many sessions behind *last*, by the hash of their secret."""
    query = sa.select(SESSION).order_by(_COLUMN.secret_hash).limit(most)
    if last is not None:
        query = query.where(_COLUMN.secret_hash > last.secret_hash)
    return [_stored(row) for row in db.execute(query)]


def write_seen(db: sa.Connection, secret_hash: str, at: datetime) -> None:
    """Store when the session was last active."""
    db.execute(sa.update(SESSION).where(_COLUMN.secret_hash == secret_hash).values(seen=at))


def write_confirmed(db: sa.Connection, secret_hash: str, at: datetime) -> bool:
    """Store when the person of a session has proven who it is; return whether there is such a session."""
    query = sa.update(SESSION).where(_COLUMN.secret_hash == secret_hash)
    return db.execute(query.values(confirmed=at, seen=at)).rowcount == 1


def delete(db: sa.Connection, secret_hash: str) -> bool:
    """Delete a session; return whether there was one."""
    return db.execute(sa.delete(SESSION).where(_COLUMN.secret_hash == secret_hash)).rowcount == 1


def delete_of(db: sa.Connection, name: str) -> int:
    """Delete the sessions of all principals of this name; return how many."""
    return db.execute(sa.delete(SESSION).where(_COLUMN.name == name)).rowcount


def delete_ended(db: sa.Connection, seen_before: datetime, begun_before: datetime) -> None:
    """Delete the sessions that were not active since a time, or that have begun before another one."""
    db.execute(sa.delete(SESSION).where(sa.or_(_COLUMN.seen <= seen_before, _COLUMN.begun <= begun_before)))


def delete_oldest(db: sa.Connection, keep: int, name: str | None = None) -> None:
    """Delete the sessions that have begun first, of one name or of all, so that *keep* are left."""
    condition = sa.true() if name is None else _COLUMN.name == name
    too_many = (
        sa.select(_COLUMN.secret_hash).where(condition).order_by(_COLUMN.begun.desc(), _COLUMN.secret_hash).offset(keep)
    )
    db.execute(sa.delete(SESSION).where(_COLUMN.secret_hash.in_(too_many)))


def _stored(row: sa.Row[Any]) -> StoredSession:
    person = at_console(row.name, Proof(row.proof), Role(row.role), row.user_sid)
    return StoredSession(row.secret_hash, Session(person, row.way, row.begun, row.seen, row.confirmed), row.stamp)


# --- one-time links --------------------------------------------------------------------------------------------------


def insert_link(db: sa.Connection, secret_hash: str, person: Principal, until: datetime) -> None:
    """Store a link for a person."""
    values = {"name": person.name, "role": person.role, "user_sid": person.sid, "until": until}
    db.execute(sa.insert(LINK), {"secret_hash": secret_hash, **values})


def use_link(db: sa.Connection, secret_hash: str, at: datetime) -> Principal | None:
    """Use up a link, and return the person that it is for; None if there is none that counts.

    One conditional update: of two uses at the same time, one finds it unused.
    """
    fresh = (LINK.c.secret_hash == secret_hash, LINK.c.used.is_(None), LINK.c.until > at)
    if db.execute(sa.update(LINK).where(*fresh).values(used=at)).rowcount != 1:
        return None
    row = db.execute(sa.select(LINK).where(LINK.c.secret_hash == secret_hash)).one()
    return at_console(row.name, Proof.LINK, Role(row.role), row.user_sid)


def has_link(db: sa.Connection, secret_hash: str) -> bool:
    """Return whether there is a link with this secret, used or not."""
    return db.scalar(sa.select(LINK.c.until).where(LINK.c.secret_hash == secret_hash)) is not None


def delete_old_links(db: sa.Connection, before: datetime) -> None:
    """Delete the links whose time was over at *before*."""
    db.execute(sa.delete(LINK).where(LINK.c.until <= before))


def count_links(db: sa.Connection) -> int:
    """Return how many links there are."""
    return db.scalar(sa.select(sa.func.count()).select_from(LINK)) or 0
