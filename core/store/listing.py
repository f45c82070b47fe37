"""Search and count jobs. Functions that open short transactions, each of which only reads.

No index answers most questions about jobs, and nearly all jobs have ended long ago. So the database looks at the jobs
in the order of their creation, at most `pages.PART` in one transaction, and selects those that are wanted. A job that
begins or is deleted meanwhile may be missing; one that is there all the time is not: the order never changes.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from postscan.core.errors import InvalidArgument
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal, Proof, User, is_sid
from postscan.core.model.states import FilterState, JobReason, JobState
from postscan.core.store import jobs
from postscan.core.store.database import pages
from postscan.core.store.database.pages import Reading, at_most, in_parts, of_jobs
from postscan.core.store.schema import DELIVERY, DOCUMENT, HAS_ENDED, IS_FAILED, IS_OPEN, JOB, STEP
from postscan.core.store.sources.tables import ORIGIN

Conditions = list[sa.ColumnElement[bool]]

_AT_ONCE: Final = 50
"""Jobs that one transaction lists: with 3 images and 2 filters each, it takes 7 ms of processor time."""

_OF_DEVICES: Final = ("device:", "device-cert:", "user:")
"""What stands in the name of an owner before the address of a device, the key of a certificate or a SID."""


class SearchCursor(NamedTuple):
    """Where a search goes on: behind the job that was created then and has this token; newest jobs come first."""

    created: datetime
    token: JobToken

    @classmethod
    def parse(cls, text: str) -> SearchCursor:
        """Return the cursor of which *text* is the `str`; raise `InvalidArgument` (after)."""
        created, _, token = text.partition("/")
        try:
            moment = datetime.fromisoformat(created)
            if moment.tzinfo is not None and token:
                return cls(moment.astimezone(UTC), JobToken(token))
        except (ValueError, OverflowError):
            pass
        raise InvalidArgument("after", text, "what a search has printed: a time with a zone, a slash and a token")

    def __str__(self) -> str:
        return f"{self.created.isoformat()}/{self.token}"


class JobGroup(StrEnum):
    """A group of jobs that is found without a look at others: an index has the open and the failed ones."""

    OPEN = "open"
    FAILED = "failed"  # and has images that can be processed again
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs are wanted: those that fulfil every field that is set.

    `process` is an identifier or a name, `user` a SID or a name. `device` is the name of an owner, or the address or
    key in it, or the subject of a source's job. `destination` is one to which a filter of the job was granted an
    output, or that of a source's job. The job was created at `begin` or later, and before `end`. `text` occurs in its
    root name, in the name of its process or of its user; the case of ASCII letters does not count.
    """

    states: tuple[JobState, ...] = ()
    reason: JobReason | None = None
    process: str = ""
    user: str = ""
    device: str = ""
    destination: str = ""
    begin: datetime | None = None
    end: datetime | None = None
    text: str = ""
    group: JobGroup | None = None


ALL_JOBS: Final = JobQuery()


class ListedStep(NamedTuple):
    """One filter of a job that is listed; the fields have the names of those of `FilterStep`."""

    position: int
    dialect: str
    state: FilterState
    reasons: tuple[str, ...]
    detail: str
    attempt: int
    progress: str


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job with what a list shows of it, without its documents; the fields have the names of those of `Job`."""

    token: JobToken
    owner: Principal
    user: User
    process_id: str
    process_name: str
    document_root: str
    state: JobState
    reasons: tuple[str, ...]
    created: datetime
    completed: datetime | None
    images_received: int
    images_kept: bool
    steps: tuple[ListedStep, ...]


def search(
    reading: Reading,
    query: JobQuery,
    owner: Principal | None,
    sid: str,
    after: SearchCursor | None,
    most: int,
    is_over: Callable[[], bool],
) -> tuple[list[ListedJob], SearchCursor | None]:
    """Return at most *most* of the wanted jobs behind *after*, newest first, and where the search goes on.

    Of the *owner*, and of the user with this *sid*, as in `jobs.owned`; of all if *owner* is None. The cursor is None
    if the search has reached the oldest job. It ends earlier if *is_over* is true behind a transaction, of which there
    is at least one. The jobs are read after they were found, so one may be in another state by then; it is left out if
    that state is not wanted.
    """
    found, cursor = _found(reading, _Wanted.of(query, owner, sid), after, most, is_over)
    tokens = [one.token for one in found]
    parts = (tokens[start : start + _AT_ONCE] for start in range(0, len(tokens), _AT_ONCE))
    listed = [job for part in parts for job in of_jobs(reading, part, _listed)]
    return [job for job in listed if not query.states or job.state in query.states], cursor


def tokens(reading: Reading, query: JobQuery, most: int) -> list[JobToken]:
    """Return the tokens of the newest of the wanted jobs of all owners, at most so many."""
    wanted, after, found = _Wanted.of(query, None, ""), None, list[JobToken]()
    while len(found) < most:
        part, after = _found(reading, wanted, after, min(pages.PAGE, most - len(found)), lambda: False)
        found += [one.token for one in part]
        if after is None:
            break
    return found


def count(
    reading: Reading, query: JobQuery, owner: Principal | None, sid: str, most: float = math.inf
) -> Counter[JobState]:
    """Return how many of the wanted jobs are in each state, of the owner as in `search`; about *most* at most.

    They are counted in several transactions, so a job that changes its state meanwhile counts once, in either state.
    It ends behind the transaction that finds the last of *most* jobs.
    """
    wanted = _Wanted.of(query, owner, sid)

    def part(
        db: sa.Connection, last: SearchCursor | None, most: int
    ) -> tuple[Sequence[tuple[JobState, int]], SearchCursor | None]:
        within, cursor = wanted.part(db, last, most)
        found = sa.select(JOB.c.state, sa.func.count()).where(*within, *wanted.filters).group_by(JOB.c.state)
        return [(JobState(state), number) for state, number in db.execute(found, wanted.parameters)], cursor

    total: Counter[JobState] = Counter()
    for state, number in in_parts(reading, part):
        total[state] += number
        if total.total() >= most:
            break
    return total


# --- which jobs ------------------------------------------------------------------------------------------------------

_ABOVE_ALL: Final = JobToken("z")
"""Follows each token in the order of any collation: tokens are GUIDs in lower case."""

_ORDER: Final = (JOB.c.created.desc(), JOB.c.token.desc())
_KEYS: Final = sa.select(JOB.c.created, JOB.c.token).order_by(*_ORDER)


def _key() -> sa.Tuple:
    return sa.tuple_(JOB.c.created, JOB.c.token)


class _Wanted(NamedTuple):
    """The jobs of a search: those of an index; created in a time; of these, those that pass the filters."""

    is_of_one_owner: bool
    indexed: Conditions
    begin: datetime | None
    end: datetime | None
    filters: Conditions
    parameters: dict[str, Any]

    @classmethod
    def of(cls, query: JobQuery, owner: Principal | None, sid: str) -> _Wanted:
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


def _found(
    reading: Reading, wanted: _Wanted, after: SearchCursor | None, most: int, is_over: Callable[[], bool]
) -> tuple[list[SearchCursor], SearchCursor | None]:
    """Return what `search` returns, as cursors.

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


# --- what is listed --------------------------------------------------------------------------------------------------

_TOKENS: Final[sa.BindParameter[str]] = sa.bindparam("of_tokens", expanding=True)
_SHOWN: Final = (
    "token",
    "owner",
    "owner_proof",
    "user_sid",
    "user_name",
    "user_mail",
    "process_id",
    "process_name",
    "document_root",
    "state",
    "reasons",
    "created",
    "completed",
    "images_kept",
)
_JOBS: Final = sa.select(*(JOB.c[name] for name in _SHOWN)).where(JOB.c.token.in_(_TOKENS))
_STEPS: Final = (
    sa.select(STEP.c.token, *(STEP.c[name] for name in ListedStep._fields))
    .where(STEP.c.token.in_(_TOKENS))
    .order_by(STEP.c.token, STEP.c.position)
)
_IMAGES: Final = sa.select(DOCUMENT.c.token).where(DOCUMENT.c.token.in_(_TOKENS))


def _listed(db: sa.Connection, tokens: Sequence[str], most: float) -> list[ListedJob]:
    """Return these jobs in this order, without those that were deleted.

    Raises `TooManyRows` if they have more than *most* filters and images.
    """
    of = {"of_tokens": tokens}
    found = {row.token: row for row in db.execute(_JOBS, of)}
    steps = at_most(db, _STEPS, most, of)
    images = Counter(row.token for row in at_most(db, _IMAGES, most - len(steps), of))
    steps_of: dict[str, list[ListedStep]] = defaultdict(list)
    for row in steps:
        steps_of[row.token].append(_step(row))
    return [_job(found[token], images[token], steps_of[token]) for token in tokens if token in found]


def _job(row: sa.Row[Any], images: int, steps: Sequence[ListedStep]) -> ListedJob:
    return ListedJob(
        token=JobToken(row.token),
        owner=Principal(row.owner, Proof(row.owner_proof)),
        user=User(row.user_sid, row.user_name, row.user_mail),
        process_id=row.process_id,
        process_name=row.process_name,
        document_root=row.document_root,
        state=JobState(row.state),
        reasons=tuple(row.reasons),
        created=row.created,
        completed=row.completed,
        images_received=images,
        images_kept=row.images_kept,
        steps=tuple(steps),
    )


def _step(row: sa.Row[Any]) -> ListedStep:
    return ListedStep(
        position=row.position,
        dialect=row.dialect,
        state=FilterState(row.state),
        reasons=tuple(row.reasons),
        detail=row.detail,
        attempt=row.attempt,
        progress=row.progress,
    )


# --- jobs of scan processes ------------------------------------------------------------------------------------------


class JobsOfProcess(NamedTuple):
    """How many jobs of a scan process there are, and how many of these have failed, as a whole or in a filter."""

    jobs: int
    failed: int


_HAS_FAILED: Final = sa.case(
    (JOB.c.state == JobState.ABORTED, 1),
    (sa.cast(JOB.c.reasons, sa.Text).contains(f'"{JobReason.ERRORS}"', autoescape=True), 1),
    else_=0,
)


def count_of_processes(reading: Reading, begin: datetime, most: int) -> dict[str, JobsOfProcess]:
    """Return the jobs that were created at *begin* or later by the identifier of their process, the newest first.

    It ends behind the transaction that looks at the last of *most* jobs.
    """
    wanted = _Wanted.of(JobQuery(begin=begin), None, "")

    def part(
        db: sa.Connection, last: SearchCursor | None, most: int
    ) -> tuple[Sequence[tuple[str, int, int]], SearchCursor | None]:
        within, cursor = wanted.part(db, last, most)
        counts = sa.func.count(), sa.func.sum(_HAS_FAILED)
        found = sa.select(JOB.c.process_id, *counts).where(*within).group_by(JOB.c.process_id)
        return [(process, number, failed) for process, number, failed in db.execute(found)], cursor

    total: dict[str, JobsOfProcess] = {}
    left = most
    for process, number, failed in in_parts(reading, part):
        before = total.get(process, JobsOfProcess(0, 0))
        total[process] = JobsOfProcess(before.jobs + number, before.failed + int(failed))
        left -= number
        if left <= 0:
            break
    return total
