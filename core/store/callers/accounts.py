"""Rows of accounts. Functions on an open transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from postscan.core.errors import InvalidArgument
from postscan.core.model.accounts.account import Account
from postscan.core.model.principal import Role
from postscan.core.store.schema import ACCOUNT

_COLUMN: Final = ACCOUNT.c


def find(db: sa.Connection, name: str) -> Account | None:
    """Return the account of this name, as it is stored; None if there is none."""
    row = db.execute(sa.select(ACCOUNT).where(_COLUMN.name == name)).one_or_none()
    return _account(row) if row is not None else None


def load_page(db: sa.Connection, last: Account | None, most: int) -> list[Account]:
    """Return at most so many accounts behind *last*, by name."""
    query = sa.select(ACCOUNT).order_by(_COLUMN.name).limit(most)
    return [_account(row) for row in db.execute(query if last is None else query.where(_COLUMN.name > last.name))]


def insert(db: sa.Connection, account: Account) -> None:
    """Store a new account; raise `InvalidArgument` if its name is taken."""
    values = {
        "name": account.name,
        "hash": account.hash,
        "user_sid": account.sid,
        "inlets": list(account.inlets),
        "created": account.created,
        "changed": account.changed,
        "role": account.role,
    }
    try:
        db.execute(sa.insert(ACCOUNT), values)
    except sa.exc.IntegrityError:
        raise InvalidArgument("name", account.name, "one that no account has") from None


def change_password(db: sa.Connection, name: str, hash: str, at: datetime) -> bool:
    """Store the hash of another password; return whether there is such an account."""
    query = sa.update(ACCOUNT).where(_COLUMN.name == name)
    return db.execute(query.values(hash=hash, changed=at)).rowcount == 1


def change_role(db: sa.Connection, name: str, role: Role) -> bool:
    """Store another role; return whether there is such an account."""
    return db.execute(sa.update(ACCOUNT).where(_COLUMN.name == name).values(role=role)).rowcount == 1


def replace_hash(db: sa.Connection, account: Account, hash: str) -> None:
    """Store another hash of the same password, unless the password was changed meanwhile."""
    query = sa.update(ACCOUNT).where(_COLUMN.name == account.name, _COLUMN.hash == account.hash)
    db.execute(query.values(hash=hash))


def delete(db: sa.Connection, name: str) -> bool:
    """Delete an account; return whether there was one."""
    return db.execute(sa.delete(ACCOUNT).where(_COLUMN.name == name)).rowcount == 1


def _account(row: sa.Row[Any]) -> Account:
    return Account(row.name, row.hash, row.user_sid, tuple(row.inlets), row.created, row.changed, Role(row.role))
