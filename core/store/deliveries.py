"""Progress and outputs of filters. Functions on an open transaction, for the store and for the service's lists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from postscan.core.errors import Overtaken
from postscan.core.model.job import JobTurn
from postscan.core.model.records import Delivery
from postscan.core.model.states import FilterState, JobState
from postscan.core.store.cluster import turns
from postscan.core.store.database import pages
from postscan.core.store.database.pages import at_most
from postscan.core.store.schema import DELIVERY, JOB, STEP, WHOLE_JOB


class FilterUse(NamedTuple):
    """An output that a filter of a job has published at a destination, or with `destination` None that it failed.

    `at` is when the output was granted, or when the job of the failed filter was created.
    """

    process_id: str
    process_name: str
    position: int
    dialect: str
    destination: str | None
    at: datetime
    detail: str = ""


_TOKENS: Final[sa.BindParameter[str]] = sa.bindparam("of_tokens", expanding=True)
_OF_PROCESS: Final = (JOB.c.process_id, JOB.c.process_name, STEP.c.position, STEP.c.dialect)
_FILTERS: Final = sa.join(STEP, JOB, STEP.c.token == JOB.c.token)
_PUBLISHED: Final = (
    sa.select(*_OF_PROCESS, DELIVERY.c.destination, DELIVERY.c.at, sa.literal_column("''"))
    .select_from(
        _FILTERS.join(DELIVERY, sa.and_(DELIVERY.c.token == STEP.c.token, DELIVERY.c.position == STEP.c.position))
    )
    .where(STEP.c.token.in_(_TOKENS), DELIVERY.c.published)
)
_FAILED: Final = (
    sa.select(*_OF_PROCESS, sa.null(), JOB.c.created, STEP.c.detail)
    .select_from(_FILTERS)
    .where(STEP.c.token.in_(_TOKENS), STEP.c.state == FilterState.ERRORS)
)


def record_progress(db: sa.Connection, run: JobTurn, position: int, text: str) -> None:
    """Store the progress of a filter, if it is still running in this turn."""
    query = sa.update(STEP).where(
        STEP.c.token == run.token, STEP.c.position == position, STEP.c.state == FilterState.PROCESSING
    )
    db.execute(query.where(turns.is_current(run)).values(progress=text))


def grant(db: sa.Connection, run: JobTurn, position: int, attempt: int, about: Delivery, at: datetime) -> bool:
    """Store that a filter is about to publish an output; return False if the job or this attempt is not running.

    The check locks the rows, so no output is granted after a stored cancel. Raises `Overtaken`.
    """
    running = (
        sa.select(JOB.c.turn)
        .join(STEP, JOB.c.token == STEP.c.token)
        .where(STEP.c.token == run.token, STEP.c.position == position, STEP.c.attempt == attempt)
        .where(JOB.c.state == JobState.PROCESSING, STEP.c.state == FilterState.PROCESSING)
        .with_for_update()
    )
    turn = db.scalar(running)
    if turn is None:
        return False
    if turn != run.turn:
        raise Overtaken(*run)
    key = _key(run.token, position, about)
    db.execute(sa.delete(DELIVERY).where(*_matches(key)))
    db.execute(sa.insert(DELIVERY), {**key, "name": about.name, "published": False, "at": at})
    return True


def confirm(db: sa.Connection, run: JobTurn, position: int, about: Delivery) -> None:
    """Store that an output that was granted in this turn was published; remove the grant if it was not.

    Change nothing if another turn has begun: its run publishes the output under the same name.
    """
    where = (*_matches(_key(run.token, position, about)), DELIVERY.c.name == about.name, turns.is_current(run))
    if about.published:
        db.execute(sa.update(DELIVERY).where(*where).values(published=True))
    else:
        db.execute(sa.delete(DELIVERY).where(*where))


def select(db: sa.Connection, token: str, last: Delivery | None, most: int) -> list[Delivery]:
    """Return at most so many outputs of a job's filters behind *last*, by position, document and destination."""
    c = DELIVERY.c
    order = (c.position, c.document, c.destination)
    query = sa.select(*order, c.name, c.published, c.at).where(c.token == token)
    if last is not None:
        query = query.where(sa.tuple_(*order) > (last.position, last.document or WHOLE_JOB, last.destination))
    return [
        Delivery(row.position, row.document or None, row.destination, row.name, row.published, row.at)
        for row in db.execute(query.order_by(*order).limit(most))
    ]


def uses(db: sa.Connection, tokens: Sequence[str], most: float) -> list[FilterUse]:
    """Return what the filters of these jobs have published, and which have failed.

    Raises `TooManyRows` if that is more than *most*, or if several jobs have more than `pages.PAGE` outputs. Of a job
    alone, so many of its outputs are read.
    """
    of = {"of_tokens": tokens}
    failed = at_most(db, _FAILED, most, of)
    published = _PUBLISHED.limit(pages.PAGE) if len(tokens) == 1 else _PUBLISHED
    found = at_most(db, published, math.inf if len(tokens) == 1 else min(most - len(failed), pages.PAGE), of)
    return [FilterUse._make(row) for row in (*failed, *found)]


def _key(token: str, position: int, about: Delivery) -> dict[str, Any]:
    document = WHOLE_JOB if about.document is None else about.document
    return {"token": token, "position": position, "document": document, "destination": about.destination}


def _matches(key: dict[str, Any]) -> list[sa.ColumnElement[bool]]:
    return [DELIVERY.c[name] == value for name, value in key.items()]
