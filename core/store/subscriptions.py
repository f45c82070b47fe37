"""Subscriptions as rows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from postscan.core.model.principal import Principal, Proof
from postscan.core.model.subscription import EventService, Sink, Subscription
from postscan.core.store.schema import SUBSCRIPTION

_COLUMN = SUBSCRIPTION.c


def _of(owner: Principal) -> tuple[sa.ColumnElement[bool], ...]:
    return (_COLUMN.owner == owner.name, _COLUMN.owner_proof == owner.proof)


def _subscriber(name: str, proof: Proof, port: EventService, role: str) -> Principal:
    """Return the owner of a subscription: who has one to the configuration service is an administrator."""
    return Principal(name, proof, admin=port is EventService.CONFIGURATION, role=role)


def _row(subscription: Subscription) -> dict[str, Any]:
    notify, end = subscription.notify_to, subscription.end_to
    return {
        "id": subscription.id,
        "port": subscription.port,
        "owner": subscription.owner.name,
        "owner_proof": subscription.owner.proof,
        "role": subscription.owner.role,
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


def _subscription(row: sa.Row[Any]) -> Subscription:
    port = EventService(row.port)
    return Subscription(
        id=row.id,
        port=port,
        owner=_subscriber(row.owner, Proof(row.owner_proof), port, row.role),
        notify_to=Sink(row.notify_url, row.notify_address, row.notify_parameters),
        end_to=Sink(row.end_url, row.end_address, row.end_parameters) if row.end_url is not None else None,
        actions=tuple(row.actions),
        manager=row.manager,
        absolute=row.absolute,
        until=row.until,
        cursor=row.cursor,
        cancelled=row.cancelled,
    )
