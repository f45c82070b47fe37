"""Subscriptions as rows, and the queries on them. Functions on an open transaction.

`postscan.core.service.subscriptions` has the rules: owners, limits, lives.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import sqlalchemy as sa

from postscan.core.model.principal import Principal, Proof
from postscan.core.model.subscription import EventService, Sink, Subscription
from postscan.core.store.schema import SUBSCRIPTION

_COLUMN: Final = SUBSCRIPTION.c


def subscriber(name: str, proof: Proof, port: EventService, entry: str) -> Principal:
    """Return the owner of a subscription; an owner of one to the configuration service is an administrator."""
    return Principal(name, proof, admin=port is EventService.CONFIGURATION, entry=entry)


def insert(db: sa.Connection, subscription: Subscription) -> None:
    """Store a new subscription."""
    notify, end = subscription.notify_to, subscription.end_to
    values = {
        "id": subscription.id,
        "port": subscription.port,
        "owner": subscription.owner.name,
        "owner_proof": subscription.owner.proof,
        "role": subscription.owner.entry,
        "notify_url": notify.url,
        "notify_address": notify.address,
        "notify_parameters": notify.parameters,
        "end_url": end.url if end else None,
        "end_address": end.address if end else None,
        "end_parameters": end.parameters if end else None,
        "actions": list(subscription.actions),
        "manager": subscription.manager,
        "absolute": subscription.absolute,
        "until": subscription.until,
        "cursor": subscription.cursor,
        "cancelled": subscription.cancelled,
    }
    db.execute(sa.insert(SUBSCRIPTION), values)


def load(db: sa.Connection, id: str, port: EventService, by: Principal, now: float) -> Subscription | None:
    """Return the subscription to this service if it is the caller's and in force at tick *now*, else None."""
    row = db.execute(sa.select(SUBSCRIPTION).where(*_owned(id, port, by), *_in_force(now))).one_or_none()
    return _subscription(row) if row is not None else None


def load_page(db: sa.Connection, last: Subscription | None, most: int) -> list[Subscription]:
    """Return at most so many subscriptions behind *last*, expired and cancelled ones too, by identifier."""
    query = sa.select(SUBSCRIPTION).order_by(_COLUMN.id).limit(most)
    return [_subscription(row) for row in db.execute(query if last is None else query.where(_COLUMN.id > last.id))]


def count(db: sa.Connection, owner: Principal | None = None) -> int:
    """Return how many subscriptions there are, of one owner or of all."""
    query = sa.select(sa.func.count()).select_from(SUBSCRIPTION)
    return db.scalar(query if owner is None else query.where(*_of(owner))) or 0


def renew(
    db: sa.Connection, id: str, port: EventService, by: Principal, now: float, until: float, absolute: bool
) -> None:
    """Move the end of the caller's subscription, if it is in force at tick *now*, to tick *until*."""
    query = sa.update(SUBSCRIPTION).where(*_owned(id, port, by), *_in_force(now))
    db.execute(query.values(until=until, absolute=absolute))


def delete_owned(db: sa.Connection, id: str, port: EventService, by: Principal, now: float) -> bool:
    """Delete the caller's subscription if it is in force at tick *now*; return whether there was one."""
    return db.execute(sa.delete(SUBSCRIPTION).where(*_owned(id, port, by), *_in_force(now))).rowcount == 1


def cancel(db: sa.Connection, id: str, now: float) -> Subscription | None:
    """Mark a subscription, of any owner, as cancelled and return it; None if none is in force at tick *now*."""
    query = sa.update(SUBSCRIPTION).where(_COLUMN.id == id, *_in_force(now))
    if db.execute(query.values(cancelled=True)).rowcount != 1:
        return None
    return _subscription(db.execute(sa.select(SUBSCRIPTION).where(_COLUMN.id == id)).one())


def delete(db: sa.Connection, id: str) -> bool:
    """Delete a subscription of any owner; return whether there was one."""
    return db.execute(sa.delete(SUBSCRIPTION).where(_COLUMN.id == id)).rowcount == 1


def delete_expired(db: sa.Connection, now: float) -> None:
    """Delete the subscriptions whose end is at tick *now* or before."""
    db.execute(sa.delete(SUBSCRIPTION).where(_COLUMN.until <= now))


def delete_without_role(db: sa.Connection, administrators: Collection[str]) -> None:
    """Delete the subscriptions to the configuration service whose owner's entry is not among *administrators*."""
    gone = (_COLUMN.port == EventService.CONFIGURATION, _COLUMN.role.not_in(list(administrators)))
    db.execute(sa.delete(SUBSCRIPTION).where(*gone))


def advance(db: sa.Connection, cursors: Mapping[str, int]) -> None:
    """Move the cursors forward, by identifier; none moves back."""
    cursor = sa.bindparam("new_cursor", type_=sa.BigInteger)
    query = sa.update(SUBSCRIPTION).where(_COLUMN.id == sa.bindparam("which"), _COLUMN.cursor < cursor)
    db.execute(query.values(cursor=cursor), [{"which": id, "new_cursor": one} for id, one in sorted(cursors.items())])


def _of(owner: Principal) -> tuple[sa.ColumnElement[bool], ...]:
    return (_COLUMN.owner == owner.name, _COLUMN.owner_proof == owner.proof)


def _owned(id: str, port: EventService, by: Principal) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions that select one subscription of the caller."""
    return (_COLUMN.id == id, _COLUMN.port == port, *_of(by))


def _in_force(now: float) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions that select subscriptions that have not ended at tick *now*."""
    return (_COLUMN.until > now, _COLUMN.cancelled.is_(False))


def _subscription(row: sa.Row[Any]) -> Subscription:
    port = EventService(row.port)
    return Subscription(
        id=row.id,
        port=port,
        owner=subscriber(row.owner, Proof(row.owner_proof), port, row.role),
        notify_to=Sink(row.notify_url, row.notify_address, row.notify_parameters),
        end_to=Sink(row.end_url, row.end_address, row.end_parameters) if row.end_url is not None else None,
        actions=tuple(row.actions),
        manager=row.manager,
        absolute=row.absolute,
        until=row.until,
        cursor=row.cursor,
        cancelled=row.cancelled,
    )
