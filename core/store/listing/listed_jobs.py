"""What a list shows of each job."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal, Proof, User
from postscan.core.model.states import FilterState, JobState
from postscan.core.store.database.pages import at_most
from postscan.core.store.schema import DOCUMENT, JOB, STEP


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


def read_listed(db: sa.Connection, tokens: Sequence[str], most: float) -> list[ListedJob]:
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
