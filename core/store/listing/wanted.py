"""The conditions of a query, and the walk over the jobs in the order of their creation.

No index answers most questions about jobs, and nearly all jobs have ended long ago. So the database looks at the jobs
in the order of their creation, at most `pages.PART` in one transaction, and selects those that are wanted. A job that
begins or is deleted meanwhile may be missing; one that is there all the time is not: the order never changes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal, is_sid
from postscan.core.store import jobs
from postscan.core.store.database import pages
from postscan.core.store.database.pages import Reading
from postscan.core.store.listing.query import JobGroup, JobQuery, SearchCursor
from postscan.core.store.schema import DELIVERY, HAS_ENDED, IS_FAILED, IS_OPEN, JOB
from postscan.core.store.sources.tables import ORIGIN

Conditions = list[sa.ColumnElement[bool]]

_OF_DEVICES: Final = ("device:", "device-cert:", "user:")
"""What stands in the name of an owner before the address of a device, the key of a certificate or a SID."""

_ABOVE_ALL: Final = JobToken("z")
"""Follows each token in the order of any collation: tokens are GUIDs in lower case."""

_ORDER: Final = (JOB.c.created.desc(), JOB.c.token.desc())
_KEYS: Final = sa.select(JOB.c.created, JOB.c.token).order_by(*_ORDER)


def _key() -> sa.Tuple:
    return sa.tuple_(JOB.c.created, JOB.c.token)


class WantedJobs(NamedTuple):
    """The jobs of a search: those of an index; created in a time; of these, those that pass the filters."""

    is_of_one_owner: bool
    indexed: Conditions
    begin: datetime | None
    end: datetime | None
    filters: Conditions
    parameters: dict[str, Any]

    @classmethod
    def of(cls, query: JobQuery, owner: Principal | None, sid: str) -> WantedJobs:
        """Return the conditions of a query for the jobs of an owner, or for all jobs.

        Those of a person at the console with a SID are the jobs for that user, which an index has: what such a person
        makes itself is for that user, too. One condition has an index, so that a part has so many jobs of it.
        """
        conditions = [*_groups(query), *([JOB.c.user_sid == query.user] if is_sid(query.user) else [])]
        filters = _filters(query)
        if owner is not None and owner.role is not None and sid:
            conditions.insert(0, JOB.c.user_sid == sid)
        elif owner is not None:
            filters.append(jobs.owned(owner, sid))
        indexed, filters = conditions[:1], [*conditions[1:], *filters]
        return cls(owner is not None, indexed, query.begin, query.end, filters, jobs.owner_parameters(owner, sid))

    def part(self, db: sa.Connection, last: SearchCursor | None, most: int) -> tuple[Conditions, SearchCursor | None]:
        """Return the conditions for the first *most* jobs behind *last*, before any filter, and the last of these jobs.

        The latter is None if no other job follows. Its place is found in an index, without a look at the jobs.
        """
        end = db.execute(_KEYS.where(*self._between(last, None)).offset(most - 1).limit(1)).one_or_none()
        cursor = None if end is None else SearchCursor(end.created, JobToken(end.token))
        return self._between(last, cursor), cursor

    def find(
        self, db: sa.Connection, last: SearchCursor | None, most: int
    ) -> tuple[list[SearchCursor], SearchCursor | None]:
        """Return at most *most* wanted jobs behind *last*, and the last job that was looked at, None at the end."""
        within, cursor = self.part(db, last, pages.PART) if self.filters else (self._between(last, None), None)
        found = db.execute(_KEYS.where(*within, *self.filters).limit(most), self.parameters)
        return [SearchCursor(row.created, JobToken(row.token)) for row in found], cursor

    def _between(self, last: SearchCursor | None, cursor: SearchCursor | None) -> Conditions:
        """Return the conditions for the jobs behind *last*, up to the one at *cursor*.

        One for each end: of two, SQLite takes the first for the range in the index, and looks at all of that.
        """
        found = [*self.indexed]
        if last is not None and (self.end is None or last.created < self.end):
            found.append(_key() < tuple(last))
        elif self.end is not None:
            found.append(JOB.c.created < self.end)
        if cursor is not None:
            found.append(_key() >= tuple(cursor))
        elif self.begin is not None:
            found.append(JOB.c.created >= self.begin)
        return found


def find_keys(
    reading: Reading, wanted: WantedJobs, after: SearchCursor | None, most: int, is_over: Callable[[], bool]
) -> tuple[list[SearchCursor], SearchCursor | None]:
    """Return what `search.search` returns, as cursors.

    Where the time is over, an owner's search stops above all jobs of that moment, since the last one that it has looked
    at may be another caller's, whose token is not the owner's to see. The next page looks at these jobs again.
    """
    found: list[SearchCursor] = []
    start = after
    while True:
        with reading() as db:
            part, after = wanted.find(db, after, most + 1 - len(found))  # one more: to know whether there is one
        found += part
        if len(found) > most:
            return found[:most], found[most - 1]
        if after is None:
            return found, None
        stop = SearchCursor(after.created, _ABOVE_ALL) if wanted.is_of_one_owner else after
        if is_over() and stop != start:
            return [one for one in found if one >= stop], stop


def _groups(query: JobQuery) -> Conditions:
    """Return the condition of a group that an index has."""
    groups = {JobGroup.OPEN: IS_OPEN, JobGroup.FAILED: IS_FAILED}
    return [groups[query.group]] if query.group in groups else []


def _filters(query: JobQuery) -> Conditions:
    """Return the other conditions; each looks at a few rows for one job."""
    found: Conditions = []
    if query.group is JobGroup.ENDED:
        found.append(HAS_ENDED)
    if query.states:
        found.append(JOB.c.state.in_(query.states))
    if query.reason is not None:
        found.append(sa.cast(JOB.c.reasons, sa.Text).contains(f'"{query.reason}"', autoescape=True))
    if query.process:
        found.append(sa.or_(JOB.c.process_id == query.process, JOB.c.process_name == query.process))
    if query.user and not is_sid(query.user):
        found.append(JOB.c.user_name == query.user)
    if query.device:
        found.append(_is_from(query.device))
    if query.destination:
        found.append(_is_to(query.destination))
    if query.text:
        named = (JOB.c.document_root, JOB.c.process_name, JOB.c.user_name)
        found.append(sa.or_(*(column.icontains(query.text, autoescape=True) for column in named)))
    return found


def _is_from(device: str) -> sa.ColumnElement[bool]:
    names = [device, *(f"{kind}{device}" for kind in _OF_DEVICES)]
    sent = sa.exists().where(ORIGIN.c.token == JOB.c.token, ORIGIN.c.subject == device)
    return sa.or_(JOB.c.owner.in_(names), sent)


def _is_to(destination: str) -> sa.ColumnElement[bool]:
    delivered = sa.exists().where(DELIVERY.c.token == JOB.c.token, DELIVERY.c.destination == destination)
    chosen = sa.exists().where(ORIGIN.c.token == JOB.c.token, ORIGIN.c.destination == destination)
    return sa.or_(delivered, chosen)
