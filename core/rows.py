"""Between rows of the database and values of the core: jobs, their filter steps and their documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from postscan.core.model import (
    Document,
    Fate,
    FilterInstructions,
    FilterStep,
    Job,
    JobToken,
    Principal,
    Proof,
    Receipt,
    User,
)
from postscan.core.states import FilterState, JobState

Rows = Sequence[sa.Row[Any]]


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
        "receipt": step.receipt.fate or "",
        "checks": step.receipt.checks,
        "longest_gap": step.receipt.longest_gap,
        "stopped_after": step.receipt.stopped_after,
    }


def jobs_from(rows: Rows, steps: Rows, documents: Rows) -> list[Job]:
    """Return the jobs of *rows* in their order; the other rows are sorted by position and by id."""
    steps_of: dict[str, list[FilterStep]] = defaultdict(list)
    for row in steps:
        steps_of[row.token].append(_step(row))
    documents_of: dict[str, list[Document]] = defaultdict(list)
    for row in documents:
        documents_of[row.token].append(Document(row.id, row.format, row.size, row.sha256, row.blob))
    return [_job(row, steps_of[row.token], documents_of[row.token]) for row in rows]


def _job(row: sa.Row[Any], steps: list[FilterStep], documents: list[Document]) -> Job:
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


def _step(row: sa.Row[Any]) -> FilterStep:
    return FilterStep(
        position=row.position,
        instructions=FilterInstructions(row.dialect, row.xml),
        state=FilterState(row.state),
        reasons=tuple(row.reasons),
        detail=row.detail,
        attempt=row.attempt,
        progress=row.progress,
        receipt=Receipt(Fate(row.receipt) if row.receipt else None, row.checks, row.longest_gap, row.stopped_after),
    )
