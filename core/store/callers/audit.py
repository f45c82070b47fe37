"""The audit trail. Functions on an open transaction: a line is stored with the change that it describes.

The database rejects changes of the trail. It lets a line be deleted only while the line's number stands in
`audit_exported`, which is so within the transaction of `drop` alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import sqlalchemy as sa

from postscan.core.model.records import AuditLine
from postscan.core.store.schema import AUDIT, AUDIT_EXPORTED

REFUSED: Final = "refused"
"""The outcome of a line about an attempt."""

_INSERT: Final = sa.insert(AUDIT)  # built once: see core.store.jobs
_SLACK: Final = timedelta(days=1)
"""The times of lines may disagree with their numbers by so much, where the wall clock was set."""


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which lines are wanted: those that fulfil every field that is set.

    `who` occurs in the name of the caller; the case of ASCII letters does not count. `verb`, `outcome` and `token` are
    compared exactly. The line was written at `begin` or later, and before `end`.
    """

    who: str = ""
    verb: str = ""
    outcome: str = ""
    token: str = ""
    begin: datetime | None = None
    end: datetime | None = None


ALL_LINES: Final = AuditQuery()


class CallerRefusals(NamedTuple):
    """How many lines about refused requests a caller has."""

    who: str
    proof: str
    number: int


def write_audit(db: sa.Connection, line: AuditLine) -> None:
    """Append a line."""
    values = line._asdict()
    del values["seq"]
    db.execute(_INSERT, values)


def read_newest(db: sa.Connection, token: str | None, limit: int, last: AuditLine | None) -> list[AuditLine]:
    """Return the newest lines, or those before *last*, newest first; of one job, or of all."""
    query = sa.select(AUDIT).order_by(AUDIT.c.seq.desc()).limit(limit)
    if token is not None:
        query = query.where(AUDIT.c.token == token)
    if last is not None:
        query = query.where(AUDIT.c.seq < last.seq)
    return _lines(db, query)


def read_behind(db: sa.Connection, seq: int, limit: int) -> list[AuditLine]:
    """Return the first lines behind the one with this number, oldest first."""
    return _lines(db, sa.select(AUDIT).where(AUDIT.c.seq > seq).order_by(AUDIT.c.seq).limit(limit))


def read_numbered(db: sa.Connection, numbers: Collection[int]) -> dict[int, AuditLine]:
    """Return the lines with these numbers, by their numbers; those that are there."""
    return {line.seq: line for line in _lines(db, sa.select(AUDIT).where(AUDIT.c.seq.in_(numbers)))}


def find(
    db: sa.Connection, query: AuditQuery, before: int | None, most: int, part: int
) -> tuple[list[AuditLine], int | None]:
    """Return the wanted ones of the *part* lines before the one with the number *before*, newest first.

    They are at most *most*. Also return the number of the last line that was looked at; None if no earlier one can be
    wanted. With a token, only its lines are looked at.
    """
    within, last = _part(db, before, part, query.token, query.begin)
    found = _lines(db, sa.select(AUDIT).where(*within, *_filters(query)).order_by(AUDIT.c.seq.desc()).limit(most))
    return found, last


def count_refusals(
    db: sa.Connection, begin: datetime, before: int | None, part: int
) -> tuple[list[CallerRefusals], int | None]:
    """Return how many refusals the callers had at *begin* or later, in the lines and with the number as in `find`."""
    within, last = _part(db, before, part, "", begin)
    callers = (AUDIT.c.who, AUDIT.c.proof)
    wanted = _filters(AuditQuery(outcome=REFUSED, begin=begin))
    rows = db.execute(sa.select(*callers, sa.func.count()).where(*within, *wanted).group_by(*callers))
    return [CallerRefusals(*row) for row in rows], last


def drop(db: sa.Connection, numbers: Collection[int]) -> int:
    """Delete the lines with these numbers; return how many there were."""
    if not numbers:
        return 0
    db.execute(sa.insert(AUDIT_EXPORTED), [{"seq": number} for number in numbers])
    dropped = db.execute(sa.delete(AUDIT).where(AUDIT.c.seq.in_(sa.select(AUDIT_EXPORTED.c.seq)))).rowcount
    db.execute(sa.delete(AUDIT_EXPORTED))
    return dropped


def _part(
    db: sa.Connection, before: int | None, part: int, token: str, begin: datetime | None
) -> tuple[list[sa.ColumnElement[bool]], int | None]:
    """Return the conditions for the next *part* lines, and the number of the last of these, None behind the last part.

    Its place is found in an index. The last part is also the one whose first and last line are older than *begin*.
    """
    within: list[sa.ColumnElement[bool]] = [AUDIT.c.token == token] if token else []
    if before is not None:
        within.append(AUDIT.c.seq < before)
    numbers = sa.select(AUDIT.c.seq).where(*within).order_by(AUDIT.c.seq.desc()).limit(1)
    last = db.scalar(numbers.offset(part - 1))
    if last is None:
        return within, None
    ends = sa.select(AUDIT.c.at).where(AUDIT.c.seq.in_((last, db.scalar(numbers))))
    is_old = begin is not None and all(at + _SLACK < begin for at in db.scalars(ends))
    return [*within, AUDIT.c.seq >= last], None if is_old else last


def _filters(query: AuditQuery) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that no index has."""
    found: list[sa.ColumnElement[bool]] = []
    if query.who:
        found.append(AUDIT.c.who.icontains(query.who, autoescape=True))
    if query.verb:
        found.append(AUDIT.c.verb == query.verb)
    if query.outcome:
        found.append(AUDIT.c.outcome == query.outcome)
    if query.begin is not None:
        found.append(AUDIT.c.at >= query.begin)
    if query.end is not None:
        found.append(AUDIT.c.at < query.end)
    return found


def _lines(db: sa.Connection, query: sa.Select[AuditLine]) -> list[AuditLine]:
    return [AuditLine(**row._mapping) for row in db.execute(query)]
