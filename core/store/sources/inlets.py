"""Inlets as rows: what administrators have ordered of them, and how they are. Functions on an open transaction."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from postscan.core.store.sources.tables import INLET

_COLUMN = INLET.c


class InletRow(NamedTuple):
    """One inlet, as `core.store.sources.tables` describes it."""

    name: str
    stopped: bool = False
    quarantine: str = ""
    state: str = ""
    detail: str = ""
    changed: datetime | None = None
    pulls: bool = False
    last_job: datetime | None = None
    pull: str | None = None
    orders: int = 0


def read_all(db: sa.Connection) -> dict[str, InletRow]:
    """Return the rows of all inlets that the settings ever had, by name; they are few."""
    return {row.name: InletRow(*row) for row in db.execute(sa.select(*(_COLUMN[name] for name in InletRow._fields)))}


def add_missing(db: sa.Connection, names: Collection[str]) -> None:
    """Insert a row for each of the inlets that has none yet."""
    missing = sorted(set(names) - read_all(db).keys())
    if missing:
        db.execute(sa.insert(INLET), [{"name": name} for name in missing])


def write_state(db: sa.Connection, name: str, state: str, detail: str, at: datetime, *, pulls: bool) -> None:
    """Store how an inlet is, and whether its source fetches scans."""
    _update(db, name, state=state, detail=detail, changed=at, pulls=pulls)


def write_last_job(db: sa.Connection, name: str, at: datetime) -> None:
    """Store when the last job of an inlet ended its pages."""
    _update(db, name, last_job=at)


def write_quarantine(db: sa.Connection, name: str, reason: str) -> None:
    """Store why an inlet is not started any more."""
    _update(db, name, quarantine=reason)


def order(db: sa.Connection, name: str, *, stopped: bool) -> None:
    """Store whether an inlet is to run; one that is to run is not in quarantine any more."""
    _update(db, name, stopped=stopped, orders=_COLUMN.orders + 1, **({} if stopped else {"quarantine": ""}))


def order_pull(db: sa.Connection, name: str, destination: str) -> bool:
    """Order a scan; return False if one is ordered and not passed on yet."""
    query = sa.update(INLET).where(_COLUMN.name == name, _COLUMN.pull.is_(None))
    return db.execute(query.values(pull=destination)).rowcount == 1


def take_pull(db: sa.Connection, name: str, destination: str) -> bool:
    """Remove the order of a scan; return False if there is none any more."""
    query = sa.update(INLET).where(_COLUMN.name == name, _COLUMN.pull == destination)
    return db.execute(query.values(pull=None)).rowcount == 1


def _update(db: sa.Connection, name: str, **values: object) -> None:
    db.execute(sa.update(INLET).where(_COLUMN.name == name).values(values))
