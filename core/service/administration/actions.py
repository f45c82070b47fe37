"""What a caller may do with a job in its state. Front ends show it, and the verbs of the service apply it.

The owner of a job may cancel it, and so may the user whom it is for, if proven (D25, D26); administrators and operators
may do all of it with all jobs.
The states that allow cancel, hold and release are those of the table in `core.model.states`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from postscan.core.errors import JobNotFound, NotAdministrator, WrongState
from postscan.core.model.job import Job
from postscan.core.model.principal import Principal, Right
from postscan.core.model.states import TRANSITIONS, JobReason, JobState, Verb
from postscan.core.service.access import is_owned, is_visible
from postscan.core.store.listing.listed_jobs import ListedJob

_UNFINISHED: Final = ((JobReason.TIMED_OUT,), (JobReason.SEND_IMAGE_FAILED,))
"""The reasons of a job that ended before its last image came."""


class JobAction(StrEnum):
    """An action on a job; the value is the command, and the verb in the audit trail."""

    CANCEL = "cancel"
    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    DISCARD = "discard"


def actions(job: Job | ListedJob, by: Principal) -> tuple[JobAction, ...]:
    """Return what the caller may do with the job as it is now; nothing with a job that the caller may not see."""
    if not is_visible(job, by):
        return ()
    return tuple(action for action in JobAction if _is_allowed(action, job, by) and _is_possible(action, job))


def check(action: JobAction, job: Job, by: Principal) -> None:
    """Return if `actions` has this action.

    Raises `JobNotFound` for a job that the caller may not see, `NotAdministrator`, and for a state that does not allow
    it `WrongState`, or `JobCanceled` as the verbs of a job do.
    """
    if action in actions(job, by):
        return
    if not is_visible(job, by):
        raise JobNotFound(job.token)
    if not _is_allowed(action, job, by):
        raise NotAdministrator(by.name, Right.OPERATE)
    if action in (JobAction.CANCEL, JobAction.HOLD, JobAction.RELEASE):
        job.check(Verb(action))
    raise WrongState(action, _condition(job))


def is_unfinished(job: Job | ListedJob) -> bool:
    """Return whether the job ended before its last image came: it timed out, or its source failed."""
    return job.state is JobState.ABORTED and job.reasons in _UNFINISHED


def has_failed(job: Job | ListedJob) -> bool:
    """Return whether the job has all of its images, and ended with the error of a filter or without a usable filter."""
    if job.state is JobState.COMPLETED:
        return JobReason.ERRORS in job.reasons
    return job.state is JobState.ABORTED and not is_unfinished(job)


def _is_allowed(action: JobAction, job: Job | ListedJob, by: Principal) -> bool:
    """Return whether the caller has the right to this action with a job that it may see."""
    return by.may(Right.OPERATE) or (action is JobAction.CANCEL and is_owned(job, by))


def _is_possible(action: JobAction, job: Job | ListedJob) -> bool:
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
