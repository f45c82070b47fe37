"""Identifiers of destinations, made once and kept. Functions on an open transaction."""

from __future__ import annotations

import uuid
from collections.abc import Collection

import sqlalchemy as sa

from postscan.core.store.sources.tables import DESTINATION


def read_identifiers(db: sa.Connection) -> dict[str, str]:
    """Return the identifiers by name."""
    return {row.name: row.id for row in db.execute(sa.select(DESTINATION))}


def add_identifiers(db: sa.Connection, names: Collection[str]) -> None:
    """Give those of the destinations a random identifier that have none yet."""
    missing = sorted(set(names) - read_identifiers(db).keys())
    if missing:
        db.execute(sa.insert(DESTINATION), [{"name": name, "id": str(uuid.uuid4())} for name in missing])
