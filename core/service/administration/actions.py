"""What a caller may do with a job in its state. Front ends show it, and the verbs of the service apply it.

The owner of a job may cancel it, and so may the user for whom a source's job is (D25); administrators may do all of it.
The states that allow cancel, hold and release are those of the table in `core.model.states`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from postscan.core.errors import JobNotFound, NotAdministrator, WrongState
from postscan.core.model.job import Job
from postscan.core.model.principal import Principal
from postscan.core.model.states import TRANSITIONS, JobReason, JobState, Verb
from postscan.core.service.access import is_owned

_UNFINISHED: Final = ((JobReason.TIMED_OUT,), (JobReason.SEND_IMAGE_FAILED,))
"""The reasons of a job that ended before its last image came."""


class JobAction(StrEnum):
    """An action on a job; the value is the command, and the verb in the audit trail."""

    CANCEL = "cancel"
    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    DISCARD = "discard"


def actions(job: Job, by: Principal) -> tuple[JobAction, ...]:
    """Return what the caller may do with the job as it is now; nothing with a job that the caller may not see."""
    if not is_owned(job, by):
        return ()
    mine: Iterable[JobAction] = JobAction if by.admin else (JobAction.CANCEL,)
    return tuple(action for action in mine if _is_possible(action, job))


def check(action: JobAction, job: Job, by: Principal) -> None:
    """Return if `actions` has this action.

    Raises `JobNotFound` for a job that the caller may not see, `NotAdministrator`, and for a state that does not allow
    it `WrongState`, or `JobCanceled` as the verbs of a job do.
    """
    if action in actions(job, by):
        return
    if not is_owned(job, by):
        raise JobNotFound(job.token)
    if not by.admin and action is not JobAction.CANCEL:
        raise NotAdministrator(by.name)
    if action in (JobAction.CANCEL, JobAction.HOLD, JobAction.RELEASE):
        job.check(Verb(action))
    raise WrongState(action, _condition(job))


def is_unfinished(job: Job) -> bool:
    """Return whether the job ended before its last image came: it timed out, or its source failed."""
    return job.state is JobState.ABORTED and job.reasons in _UNFINISHED


def has_failed(job: Job) -> bool:
    """Return whether the job has all of its images, and ended with the error of a filter or without a usable filter."""
    if job.state is JobState.COMPLETED:
        return JobReason.ERRORS in job.reasons
    return job.state is JobState.ABORTED and not is_unfinished(job)


def _is_possible(action: JobAction, job: Job) -> bool:
    """Return whether the state of the job allows the action."""
    match action:
        case JobAction.RETRY:
            return has_failed(job) and job.images_kept and bool(job.steps)
        case JobAction.DISCARD:
            return job.state.ended and job.images_kept
        case JobAction.RELEASE if is_unfinished(job):
            return job.images_kept
    return Verb(action) in TRANSITIONS[job.state]


def _condition(job: Job) -> str:
    """Return the state of a job for a message, with its reasons, and whether its images are gone."""
    reasons = f" ({', '.join(job.reasons)})" if job.reasons else ""
    return f"{job.state}{reasons}" + ("" if job.images_kept else ", without images")
