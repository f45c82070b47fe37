"""Jobs as rows: read as values, and written back where they changed. Functions on an open transaction."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from postscan.core.errors import JobNotFound, StoreBusy
from postscan.core.model.job import FilterStep, Job, JobDocument, JobToken, Receipt, RunStatus
from postscan.core.model.principal import Principal, Proof, User
from postscan.core.model.process import FilterInstructions
from postscan.core.model.states import FilterState, JobState
from postscan.core.store import events
from postscan.core.store.database.pages import at_most
from postscan.core.store.schema import (
    DOCUMENT,
    HAS_ENDED,
    HAS_FILES,
    IS_DONE,
    IS_OPEN,
    JOB,
    MADE,
    STEP,
    USAGE,
    is_in,
)
from postscan.core.store.sources import origins

RowList = Sequence[sa.Row[Any]]

# Statements are built once: to build one takes several times as long as to execute it. An UPDATE sets the columns that
# its parameters name.
_TOKEN: Final[sa.BindParameter[str]] = sa.bindparam("of_token")
_TOKENS: Final[sa.BindParameter[str]] = sa.bindparam("of_tokens", expanding=True)
_JOB: Final = sa.select(JOB).where(JOB.c.token == _TOKEN)
IS_OWN: Final = sa.and_(JOB.c.owner == sa.bindparam("of_owner"), JOB.c.owner_proof == sa.bindparam("of_proof"))
IS_FOR: Final = sa.and_(JOB.c.owner_proof == Proof.SOURCE, JOB.c.user_sid == sa.bindparam("of_sid"))
"""The jobs of an owner, and those of sources that are for the user with a SID."""
OF_USER: Final = JOB.c.user_sid == sa.bindparam("of_sid")
"""All jobs that are for the user with a SID: those of a person at the console."""
_OWN_JOB: Final = _JOB.where(IS_OWN)
_JOB_FOR: Final = _JOB.where(sa.or_(IS_OWN, IS_FOR))
_JOB_OF_USER: Final = _JOB.where(sa.or_(IS_OWN, OF_USER))
_QUERIES: Final = {query: query.with_for_update() for query in (_JOB, _OWN_JOB, _JOB_FOR, _JOB_OF_USER)}
"""How a job is loaded, and how it is loaded and locked."""
# In the order of the primary keys, so that they are not sorted, and a LIMIT ends them early.
_JOBS: Final = sa.select(JOB).where(JOB.c.token.in_(_TOKENS))
_STEPS: Final = sa.select(STEP).where(STEP.c.token.in_(_TOKENS)).order_by(STEP.c.token, STEP.c.position)
_DOCUMENTS: Final = sa.select(DOCUMENT).where(DOCUMENT.c.token.in_(_TOKENS)).order_by(DOCUMENT.c.token, DOCUMENT.c.id)
_MADE: Final = sa.select(MADE).where(MADE.c.token.in_(_TOKENS)).order_by(MADE.c.token, MADE.c.position, MADE.c.place)
_INSERT_JOB: Final = sa.insert(JOB)
_INSERT_STEP: Final = sa.insert(STEP)
_INSERT_DOCUMENT: Final = sa.insert(DOCUMENT)
_UPDATE_JOB: Final = sa.update(JOB).where(JOB.c.token == _TOKEN, JOB.c.version == sa.bindparam("of_version"))
_UPDATE_STEP: Final = sa.update(STEP).where(STEP.c.token == _TOKEN, STEP.c.position == sa.bindparam("of_position"))
_ADD_USAGE: Final = sa.text(
    "INSERT INTO usage (owner, kept_bytes, disposable_bytes) VALUES (:owner, :kept, :disposable) "
    "ON CONFLICT (owner) DO UPDATE SET kept_bytes = usage.kept_bytes + excluded.kept_bytes, "
    "disposable_bytes = usage.disposable_bytes + excluded.disposable_bytes"
)
_DROP_USAGE: Final = sa.delete(USAGE).where(USAGE.c.owner == sa.bindparam("of_owner"), USAGE.c.kept_bytes == 0)


class Usage(NamedTuple):
    """Bytes of the spool: all that are kept, and those that retention may remove."""

    kept: int = 0
    disposable: int = 0

    @classmethod
    def of(cls, state: str, kept_bytes: int) -> Usage:
        """Return the usage of one job."""
        return cls(kept_bytes, kept_bytes if state in (JobState.COMPLETED, JobState.CANCELED) else 0)


NOTHING: Final = Usage()


class JobKey(NamedTuple):
    """What jobs are listed by."""

    token: JobToken
    owner: str
    created: datetime
    completed: datetime | None
    user_sid: str


_KEYS: Final = sa.select(*(JOB.c[name] for name in JobKey._fields))


class Stored(NamedTuple):
    """A job as it is stored, to be compared with the job after its verbs."""

    row: dict[str, Any]
    steps: Sequence[FilterStep]
    documents: frozenset[int]
    in_progress: bool
    usage: Usage

    @classmethod
    def of(cls, job: Job) -> Stored:
        """Return a copy of what `save` compares."""
        documents = frozenset(document.id for document in job.documents)
        usage = Usage.of(job.state, job.kept_bytes)
        return cls(job_row(job), tuple(job.steps), documents, job.state.in_progress, usage)


def load(db: sa.Connection, token: str, owner: Principal | None = None, sid: str = "", *, lock: bool = False) -> Job:
    """Return the job; raise `JobNotFound`, also if it is not the *owner*'s. *lock* locks its row.

    With a *sid*, the jobs of sources that are for this user count as the owner's; all of this user's jobs do, if the
    owner is a person at the console.
    """
    of = {"of_token": token} | owner_parameters(owner, sid)
    query = _JOB
    if owner is not None and sid:
        query = _JOB_FOR if owner.role is None else _JOB_OF_USER
    elif owner is not None:
        query = _OWN_JOB
    jobs = _with_children(db, db.execute(_QUERIES[query] if lock else query, of).all())
    if not jobs:
        raise JobNotFound(token)
    return jobs[0]


def owned(owner: Principal, sid: str) -> sa.ColumnElement[bool]:
    """Return the condition that selects the owner's jobs, as `load` does; `owner_parameters` are its parameters."""
    if not sid:
        return IS_OWN
    return sa.or_(IS_OWN, IS_FOR if owner.role is None else OF_USER)


def owner_parameters(owner: Principal | None, sid: str) -> dict[str, Any]:
    """Return the parameters of `owned`; none if *owner* is None."""
    if owner is None:
        return {}
    return {"of_owner": owner.name, "of_proof": owner.proof} | ({"of_sid": sid} if sid else {})


def select(db: sa.Connection, query: sa.Select[Any]) -> list[Job]:
    """Return the jobs that the query selects from `job`, with steps and documents, in its order."""
    return _with_children(db, db.execute(query).all())


def of_tokens(db: sa.Connection, tokens: Sequence[str], most: float) -> list[Job]:
    """Return these jobs in this order, without those that were deleted.

    Raises `TooManyRows` if they have more than *most* steps and documents.
    """
    found = {row.token: row for row in db.execute(_JOBS, {"of_tokens": tokens})}
    return _with_children(db, [found[token] for token in tokens if token in found], most)


class UnendedJob(NamedTuple):
    """When a job was created that has not ended, and its token."""

    created: datetime
    token: JobToken


def open_in_state(db: sa.Connection, state: JobState, last: UnendedJob | None, most: int) -> list[UnendedJob]:
    """Return at most so many jobs in a state that is not the end, behind *last*, oldest first."""
    key = sa.tuple_(JOB.c.created, JOB.c.token)
    query = sa.select(JOB.c.created, JOB.c.token).where(is_in(state.value), *((key > tuple(last),) if last else ()))
    return [UnendedJob(*row) for row in db.execute(query.order_by(JOB.c.created, JOB.c.token).limit(most))]


def open_keys(db: sa.Connection, owner: str | None, sid: str, last: JobKey | None, most: int) -> list[JobKey]:
    """Return at most so many jobs that have not ended, behind *last* by owner and token; of one owner, or of all.

    With a *sid*, those for this user too, for which the database looks at the open jobs of all owners.
    """
    query = _KEYS.where(IS_OPEN)
    if owner is not None:
        is_own = JOB.c.owner == owner
        query = query.where(sa.or_(is_own, JOB.c.user_sid == sid) if sid else is_own)
    if last is not None and owner is not None and not sid:
        query = query.where(JOB.c.token > last.token)
    elif last is not None:
        query = query.where(sa.tuple_(JOB.c.owner, JOB.c.token) > (last.owner, last.token))
    return _keys(db, query.order_by(JOB.c.owner, JOB.c.token).limit(most))


def ended_keys(db: sa.Connection, last: JobKey | None, most: int) -> list[JobKey]:
    """Return at most so many jobs that have ended, of all owners, newest first, behind *last*."""
    query = _KEYS.where(HAS_ENDED)
    if last is not None:
        query = query.where(sa.tuple_(JOB.c.completed, JOB.c.token) < (last.completed, last.token))
    return _keys(db, query.order_by(JOB.c.completed.desc(), JOB.c.token.desc()).limit(most))


def _keys(db: sa.Connection, query: sa.Select[Any]) -> list[JobKey]:
    return [JobKey._make(row) for row in db.execute(query)]


def insert(db: sa.Connection, job: Job, before: Usage = NOTHING) -> None:
    """Write a new job with its steps, documents and events; *before* is the usage of the job whose images it has."""
    db.execute(_INSERT_JOB, job_row(job))
    db.execute(_INSERT_STEP, [{"token": job.token, **step_row(step)} for step in job.steps])
    _insert_documents(db, job.token, job.documents)
    events.append(db, job, was_in_progress=False)
    count(db, job.owner.name, before, Usage.of(job.state, job.kept_bytes))


def save(db: sa.Connection, job: Job, stored: Stored) -> None:
    """Write what differs from what is *stored*; raise `StoreBusy` if the row has changed meanwhile."""
    values = _changed(stored.row, job_row(job)) | {"version": job.version + 1}
    found = db.execute(_UPDATE_JOB, {"of_token": job.token, "of_version": job.version, **values})
    if found.rowcount != 1:
        raise StoreBusy(f"job {job.token} was changed by another transaction at the same time")
    job.version += 1
    _save_steps(db, job.token, [pair for pair in zip(stored.steps, job.steps, strict=True) if pair[0] != pair[1]])
    _insert_documents(db, job.token, [one for one in job.documents if one.id not in stored.documents])
    if job.state is JobState.ABORTED and stored.row["state"] is JobState.CREATING and job.owner.proof is Proof.SOURCE:
        origins.release(db, job.token)  # the same origin may come again, and is another job then
    events.append(db, job, was_in_progress=stored.in_progress)
    count(db, job.owner.name, stored.usage, Usage.of(job.state, job.kept_bytes))


def _save_steps(db: sa.Connection, token: str, changed: Sequence[tuple[FilterStep, FilterStep]]) -> None:
    """Write the steps that have changed, each as it was and as it is."""
    rows = {step.position: step_row(step) for _, step in changed}
    names = {name for before, step in changed for name in _changed(step_row(before), rows[step.position])}
    if names:
        of = {position: {"of_token": token, "of_position": position} for position in rows}
        db.execute(_UPDATE_STEP, [of[position] | {name: row[name] for name in names} for position, row in rows.items()])
    for before, step in changed:
        if step.documents != before.documents:
            _save_made(db, token, step)


def _save_made(db: sa.Connection, token: str, step: FilterStep) -> None:
    db.execute(sa.delete(MADE).where(MADE.c.token == token, MADE.c.position == step.position))
    if step.documents:
        db.execute(
            sa.insert(MADE),
            [
                {"position": step.position, "place": place, **_document_row(token, document)}
                for place, document in enumerate(step.documents)
            ],
        )


def _insert_documents(db: sa.Connection, token: str, documents: Sequence[JobDocument]) -> None:
    if documents:
        db.execute(_INSERT_DOCUMENT, [_document_row(token, document) for document in documents])


def _changed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that differ, as they are now."""
    return {name: value for name, value in now.items() if value != before[name]}


# --- the sums of an owner ---------------------------------------------------------------------------------------------


def count(db: sa.Connection, owner: str, before: Usage, now: Usage) -> None:
    """Count what a job of this owner uses *now*, instead of what it used *before*.

    The last statement of a change, since it locks the row of the owner: so no two changes wait for each other.
    """
    if now == before:
        return
    change = {"kept": now.kept - before.kept, "disposable": now.disposable - before.disposable}
    db.execute(_ADD_USAGE, {"owner": owner, **change})
    if now.kept < before.kept:
        db.execute(_DROP_USAGE, {"of_owner": owner})


def recount(db: sa.Connection) -> list[str]:
    """Compute all sums from the jobs; return the owners whose sums were wrong."""
    disposable = sa.func.sum(sa.case((IS_DONE, JOB.c.kept_bytes), else_=0))
    query = sa.select(JOB.c.owner, sa.func.sum(JOB.c.kept_bytes), disposable).where(HAS_FILES).group_by(JOB.c.owner)
    counted = {(owner, int(kept), int(may_go)) for owner, kept, may_go in db.execute(query)}
    stored = {tuple(row) for row in db.execute(sa.select(USAGE))}
    if counted == stored:
        return []
    db.execute(sa.delete(USAGE))
    if counted:
        db.execute(sa.insert(USAGE), [dict(zip(USAGE.c.keys(), row, strict=True)) for row in counted])
    return sorted({row[0] for row in counted ^ stored})


# --- one row, one value ----------------------------------------------------------------------------------------------


def job_row(job: Job) -> dict[str, Any]:
    """Return the columns of the job itself."""
    return {
        "token": job.token,
        "owner": job.owner.name,
        "owner_proof": job.owner.proof,
        "user_sid": job.user.sid,
        "user_name": job.user.name,
        "user_mail": job.user.mail,
        "user_display_name": job.user.display_name,
        "user_home_folder": job.user.home_folder,
        "process_id": job.process_id,
        "process_name": job.process_name,
        "document_root": job.document_root,
        "continue_on_error": job.continue_on_error,
        "state": job.state,
        "reasons": list(job.reasons),
        "created": job.created,
        "completed": job.completed,
        "deadline": job.deadline,
        "images_kept": job.images_kept,
        "kept_bytes": job.kept_bytes,
        "version": job.version,
        "holder": job.holder,
        "turn": job.turn,
    }


def step_row(step: FilterStep) -> dict[str, Any]:
    """Return the columns of one filter step, without its token."""
    return {
        "position": step.position,
        "dialect": step.dialect,
        "xml": step.instructions.xml,
        "state": step.state,
        "reasons": list(step.reasons),
        "detail": step.detail,
        "attempt": step.attempt,
        "progress": step.progress,
        "receipt": step.receipt.status or "",
        "checks": step.receipt.checks,
        "longest_gap": step.receipt.longest_gap,
        "stopped_after": step.receipt.stopped_after,
        "transformed": step.documents is not None,
        "crashes": step.crashes,
        "suspended": step.suspended,
    }


def _document_row(token: str, document: JobDocument) -> dict[str, Any]:
    return {
        "token": token,
        "id": document.id,
        "format": document.format,
        "size": document.size,
        "sha256": document.sha256,
        "blob": document.blob,
    }


def _with_children(db: sa.Connection, found: RowList, most: float = math.inf) -> list[Job]:
    """Return the jobs of these rows, with their at most so many steps and documents."""
    if not found:
        return []
    of = {"of_tokens": [row.token for row in found]}
    steps = at_most(db, _STEPS, most, of)
    documents = at_most(db, _DOCUMENTS, most - len(steps), of)
    made: RowList = []
    if any(step.transformed for step in steps):
        made = at_most(db, _MADE, most - len(steps) - len(documents), of)
    return _jobs(found, steps, documents, made)


def _jobs(found: RowList, steps: RowList, documents: RowList, made: RowList) -> list[Job]:
    """Return the jobs in the order of *found*; the other rows are sorted by position, id and place."""
    made_by: dict[tuple[str, int], list[JobDocument]] = defaultdict(list)
    for row in made:
        made_by[row.token, row.position].append(_document(row))
    steps_of: dict[str, list[FilterStep]] = defaultdict(list)
    for row in steps:
        steps_of[row.token].append(_step(row, made_by[row.token, row.position]))
    documents_of: dict[str, list[JobDocument]] = defaultdict(list)
    for row in documents:
        documents_of[row.token].append(_document(row))
    return [_job(row, steps_of[row.token], documents_of[row.token]) for row in found]


def _document(row: sa.Row[Any]) -> JobDocument:
    return JobDocument(row.id, row.format, row.size, row.sha256, row.blob)


def _job(row: sa.Row[Any], steps: list[FilterStep], documents: list[JobDocument]) -> Job:
    return Job(
        token=JobToken(row.token),
        owner=Principal(row.owner, Proof(row.owner_proof)),
        user=User(row.user_sid, row.user_name, row.user_mail, row.user_display_name, row.user_home_folder),
        process_id=row.process_id,
        process_name=row.process_name,
        document_root=row.document_root,
        continue_on_error=row.continue_on_error,
        created=row.created,
        steps=steps,
        state=JobState(row.state),
        reasons=tuple(row.reasons),
        documents=documents,
        completed=row.completed,
        deadline=row.deadline,
        images_kept=row.images_kept,
        version=row.version,
        holder=row.holder,
        turn=row.turn,
    )


def _step(row: sa.Row[Any], made: Sequence[JobDocument]) -> FilterStep:
    return FilterStep(
        position=row.position,
        instructions=FilterInstructions(row.dialect, row.xml),
        state=FilterState(row.state),
        reasons=tuple(row.reasons),
        detail=row.detail,
        attempt=row.attempt,
        progress=row.progress,
        receipt=Receipt(
            RunStatus(row.receipt) if row.receipt else None, row.checks, row.longest_gap, row.stopped_after
        ),
        documents=tuple(made) if row.transformed else None,
        crashes=row.crashes,
        suspended=row.suspended,
    )
