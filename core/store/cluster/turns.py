"""Jobs in progress: which process runs each, and in which turn. Functions on an open transaction.

Each claim and each resumption of a job begins a turn. What a run changes is compared with the turn in the row, so the
run of an earlier one changes nothing: its process may have stood still, or may have been cut off, while another one
resumed the job.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from postscan.core.model.job import JobToken, JobTurn
from postscan.core.model.states import FilterState, JobState
from postscan.core.store.schema import JOB, STEP, is_in

_IN_PROGRESS: Final = [state.value for state in JobState if state.in_progress]


class JobInProgress(NamedTuple):
    """A job that is Started, Processing or Terminating: `holder` identifies the process that runs it, in its `turn`."""

    token: JobToken
    state: JobState
    holder: str
    turn: int


_SELECT: Final = (
    sa.select(JOB.c.token, JOB.c.state, JOB.c.holder, JOB.c.turn).where(is_in(*_IN_PROGRESS)).order_by(JOB.c.created)
)
_RESUME: Final = sa.update(JOB).where(
    JOB.c.token == sa.bindparam("of_token"), JOB.c.turn == sa.bindparam("of_turn"), is_in(*_IN_PROGRESS)
)
_SUSPEND: Final = sa.update(STEP).where(
    STEP.c.token == sa.bindparam("of_token"), STEP.c.state == sa.bindparam("of_state")
)


def select(db: sa.Connection) -> Sequence[JobInProgress]:
    """Return all jobs in progress, oldest first: as many as filters may run at the same time."""
    return [
        JobInProgress(JobToken(row.token), JobState(row.state), row.holder, row.turn) for row in db.execute(_SELECT)
    ]


def resume(db: sa.Connection, job: JobInProgress, holder: str, *, suspended: bool) -> JobTurn | None:
    """Begin the next turn of a job, for this holder; return None if it has ended, or has begun another turn.

    With *suspended*, the run of the last turn is known to be no crash: it was stopped in order.
    """
    turn = JobTurn(job.token, job.turn + 1)
    of = {"of_token": job.token, "of_turn": job.turn}
    if db.execute(_RESUME, of | {"holder": holder, "turn": turn.turn}).rowcount != 1:
        return None
    if suspended:
        db.execute(_SUSPEND, {"of_token": job.token, "of_state": FilterState.PROCESSING, "suspended": True})
    return turn


def is_current(run: JobTurn) -> sa.ColumnElement[bool]:
    """Return the condition that the turn of a run has not been followed by another."""
    return sa.exists().where(JOB.c.token == run.token, JOB.c.turn == run.turn)
