"""Jobs as rows: read as values, and written back where they changed. Functions on an open transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from postscan.core.errors import JobNotFound, StoreBusy
from postscan.core.model.job import FilterStep, Job, JobDocument, JobToken, Receipt, RunStatus
from postscan.core.model.principal import Principal, Proof, User
from postscan.core.model.process import FilterInstructions
from postscan.core.model.states import FilterState, JobState
from postscan.core.store import events
from postscan.core.store.schema import DOCUMENT, JOB, MADE, STEP

RowList = Sequence[sa.Row[Any]]


def load(db: sa.Connection, token: str, owner: Principal | None = None, *, lock: bool = False) -> Job:
    """Return the job; raise `JobNotFound`, also if it is not the *owner*'s. *lock* locks its row."""
    query = sa.select(JOB).where(JOB.c.token == token)
    if owner is not None:
        query = query.where(JOB.c.owner == owner.name, JOB.c.owner_proof == owner.proof)
    jobs = select(db, query.with_for_update() if lock else query)
    if not jobs:
        raise JobNotFound(token)
    return jobs[0]


def select(db: sa.Connection, query: sa.Select[Any]) -> list[Job]:
    """Return the jobs that the query selects from `job`, with steps and documents, in its order."""
    found = db.execute(query).all()
    if not found:
        return []
    tokens = [row.token for row in found]
    steps = db.execute(sa.select(STEP).where(STEP.c.token.in_(tokens)).order_by(STEP.c.position)).all()
    documents = db.execute(sa.select(DOCUMENT).where(DOCUMENT.c.token.in_(tokens)).order_by(DOCUMENT.c.id)).all()
    made: RowList = []
    if any(step.transformed for step in steps):
        made = db.execute(sa.select(MADE).where(MADE.c.token.in_(tokens)).order_by(MADE.c.position, MADE.c.place)).all()
    return _jobs(found, steps, documents, made)


def insert(db: sa.Connection, job: Job) -> None:
    """Write a new job with its steps, documents and events."""
    db.execute(sa.insert(JOB), job_row(job))
    db.execute(sa.insert(STEP), [{"token": job.token, **step_row(step)} for step in job.steps])
    _insert_documents(db, job.token, job.documents)
    events.append(db, job)


def save(db: sa.Connection, job: Job, steps: Sequence[FilterStep], documents: set[int]) -> None:
    """Write what changed since the job had these *steps* and *documents*; raise `StoreBusy` if its row has changed."""
    values = job_row(job) | {"version": job.version + 1}
    changed = db.execute(
        sa.update(JOB).where(JOB.c.token == job.token, JOB.c.version == job.version).values(values)
    ).rowcount
    if changed != 1:
        raise StoreBusy(f"job {job.token} was changed by another transaction at the same time")
    job.version += 1
    for before, step in zip(steps, job.steps, strict=True):
        if step != before:
            _save_step(db, job.token, before, step)
    _insert_documents(db, job.token, [document for document in job.documents if document.id not in documents])
    events.append(db, job)


def _save_step(db: sa.Connection, token: str, before: FilterStep, step: FilterStep) -> None:
    where = (STEP.c.token == token, STEP.c.position == step.position)
    db.execute(sa.update(STEP).where(*where).values(step_row(step)))
    if step.documents == before.documents:
        return
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
        db.execute(sa.insert(DOCUMENT), [_document_row(token, document) for document in documents])


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
        "version": job.version,
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
        user=User(row.user_sid, row.user_name, row.user_mail),
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
