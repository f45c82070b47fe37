"""The numbers of events on PostgreSQL: given behind the commits, by one process at a time.

A number that is drawn before its commit may become visible after a larger one, and a reader whose cursor is behind the
larger one never reads it. So a change of a job writes its events into a table of their own, without numbers and without
waiting for other changes. The leader moves what is committed into the event table, in one statement, where each event
gets the next number. The events of one commit have numbers in succession. Those of one job keep their order: a change
locks the job's row before it writes, so their identifiers follow the versions of the job.

SQLite has one writer at a time, which numbers its events itself. Functions on an open transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from postscan.core.model.events import RepositoryStatusChanged
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobState
from postscan.core.store.cluster.tables import UNNUMBERED_EVENT

IDLE: Final = "Idle"
PROCESSING: Final = "Processing"

MOST: Final = 2000
"""Events that one transaction numbers; the last commit is completed beyond it."""

_LOCK: Final = 0x706F7374

_INSERT: Final = sa.insert(UNNUMBERED_EVENT)
_FIRST: Final = sa.select(UNNUMBERED_EVENT.c.id).order_by(UNNUMBERED_EVENT.c.id).limit(1)

# All parts of the statement see the same state of the database: so many jobs are in progress, and the events without a
# number say how many more or fewer that are than before these events.
_NUMBER: Final = sa.text("""
WITH part AS (
    SELECT token, version FROM unnumbered_event ORDER BY id LIMIT :most
), moved AS (
    DELETE FROM unnumbered_event WHERE (token, version) IN (SELECT token, version FROM part)
    RETURNING id, token, kind, at, fields, version, progress
), commits AS (
    SELECT moved.*, min(id) OVER (PARTITION BY token, version) AS commit FROM moved
), before AS (
    SELECT
        (SELECT count(*) FROM job WHERE ended_ticks IS NULL AND state IN :in_progress)
        - (SELECT coalesce(sum(progress), 0) FROM unnumbered_event) AS busy,
        coalesce(
            (SELECT fields ->> 'state' FROM event WHERE token IS NULL AND kind = :kind ORDER BY seq DESC LIMIT 1),
            :idle
        ) AS state
), counted AS (
    SELECT
        commits.*,
        before.state AS first_state,
        CASE
            WHEN before.busy + sum(progress) OVER (ORDER BY commit, id) > 0 THEN :processing ELSE :idle
        END AS state
    FROM commits CROSS JOIN before
), compared AS (
    SELECT counted.*, lag(state, 1, first_state) OVER (ORDER BY commit, id) AS earlier FROM counted
), all_events AS (
    SELECT commit, id, 0 AS place, token, kind, at, fields, version FROM counted
    UNION ALL
    SELECT commit, id, 1, NULL, :kind, at, json_build_object('state', state), 0 FROM compared WHERE state <> earlier
)
INSERT INTO event (token, kind, at, fields, version)
SELECT token, kind, at, fields, version FROM (SELECT * FROM all_events ORDER BY commit, id, place) AS ordered
""").bindparams(sa.bindparam("in_progress", [state.value for state in JobState if state.in_progress], expanding=True))
_BY_LEADER: Final = sa.text("SELECT set_config('postscan.numbering', 'on', true)")


class UnnumberedJobs(NamedTuple):
    """Jobs with events behind an identifier that have no number yet, and the largest identifier."""

    tokens: frozenset[JobToken]
    last: int


def is_needed(db: sa.Connection) -> bool:
    """Return whether changes leave the numbers of their events to the leader."""
    return db.dialect.name == "postgresql"


def add(db: sa.Connection, events: Sequence[Mapping[str, Any]], progress: int) -> None:
    """Write the events of one change of a job; *progress* is 1 if the job is in progress since then, -1 if no more."""
    last = len(events) - 1
    db.execute(_INSERT, [{**event, "progress": progress if n == last else 0} for n, event in enumerate(events)])


def lock(db: sa.Connection) -> None:
    """Keep other transactions from giving numbers, or subscribing to events, until this one has ended.

    Release 1.0 takes the same lock whenever it writes an event, so it can run beside this version.
    """
    if is_needed(db):
        db.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def has_unnumbered(db: sa.Connection) -> bool:
    """Return whether an event that is committed has no number."""
    return is_needed(db) and db.scalar(_FIRST) is not None


def number(db: sa.Connection) -> int:
    """Give the next numbers to the oldest `MOST` committed events without one; return how many were written.

    Where the first job comes into progress, or the last one leaves, an event of the repository follows. A second
    process that does the same waits, and finds what is left.
    """
    if not is_needed(db):
        return 0
    lock(db)
    db.execute(_BY_LEADER)
    of = {"most": MOST, "kind": RepositoryStatusChanged.__name__, "idle": IDLE, "processing": PROCESSING}
    return db.execute(_NUMBER, of).rowcount


def unnumbered_jobs(db: sa.Connection, last: int) -> UnnumberedJobs:
    """Return the jobs of at most `MOST` events without a number behind the identifier *last*."""
    c = UNNUMBERED_EVENT.c
    if not is_needed(db):
        return UnnumberedJobs(frozenset(), last)
    found = db.execute(sa.select(c.id, c.token).where(c.id > last).order_by(c.id).limit(MOST)).all()
    return UnnumberedJobs(frozenset(JobToken(row.token) for row in found), found[-1].id if found else last)
