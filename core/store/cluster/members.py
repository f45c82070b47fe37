"""Members of a cluster: rows that each process of a shared PostgreSQL database writes about itself.

Times are those of the database, so the clocks of the machines do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from postscan.core.model.states import JobState
from postscan.core.store.cluster.tables import MEMBER
from postscan.core.store.schema import JOB, is_in


class Member(NamedTuple):
    """A process that uses the database.

    `id` is new at each start; `role` is what it does; `folder` identifies its data folder, so that a process knows the
    one before it; `settings` is a hash of what must be the same in all members.
    """

    id: str
    name: str
    role: str
    version: str
    folder: str
    settings: str


class MemberBeat(NamedTuple):
    """A member, when it last wrote its row, and the seconds since then, both by the clock of the database."""

    member: Member
    beat: datetime
    age: float


_COLUMNS: Final = tuple(MEMBER.c[name] for name in Member._fields)
_INSERT: Final = postgresql.insert(MEMBER).values(beat=sa.func.clock_timestamp())
_BEAT: Final = _INSERT.on_conflict_do_update(index_elements=[MEMBER.c.id], set_={"beat": sa.func.clock_timestamp()})
_AGE: Final = sa.extract("epoch", sa.func.clock_timestamp() - MEMBER.c.beat)


def beat(db: sa.Connection, member: Member) -> None:
    """Write that a member is alive; also if its row was removed meanwhile."""
    db.execute(_BEAT, member._asdict())


def leave(db: sa.Connection, id: str) -> None:
    """Remove a member that has ended in order: what it has suspended may be resumed at once."""
    db.execute(sa.delete(MEMBER).where(MEMBER.c.id == id))


def forget(db: sa.Connection, seconds: float) -> int:
    """Remove the members that have not been alive for so long and hold no job in progress; return how many."""
    holds = sa.exists().where(JOB.c.holder == MEMBER.c.id, is_in(*(one for one in JobState if one.in_progress)))
    return db.execute(sa.delete(MEMBER).where(seconds < _AGE, sa.not_(holds))).rowcount


def select(db: sa.Connection) -> Sequence[MemberBeat]:
    """Return all members, by name and id."""
    query = sa.select(*_COLUMNS, MEMBER.c.beat, _AGE.label("age")).order_by(MEMBER.c.name, MEMBER.c.id)
    return [MemberBeat(Member(*row[:-2]), row.beat, float(row.age)) for row in db.execute(query)]
