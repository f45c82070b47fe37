"""A job in each of its nine states: what brings one there that is in Creating."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from postscan.core.model.job import Job
from postscan.core.model.states import JobReason

NOW = datetime.now(UTC)


def started(job: Job) -> None:
    """A server has claimed it."""
    job.end(NOW)
    job.claim(NOW)


def processing(job: Job) -> None:
    """Its first filter runs."""
    started(job)
    job.start(0, NOW)


def held(job: Job) -> None:
    """An administrator holds it."""
    job.end(NOW)
    job.hold(NOW)


def terminating(job: Job) -> None:
    """It was cancelled while its first filter ran."""
    processing(job)
    job.cancel(NOW)


def completed(job: Job) -> None:
    """All is done."""
    processing(job)
    job.finish(NOW)


STATES: dict[str, Callable[[Job], object]] = {
    "Creating": lambda job: None,
    "Pending": lambda job: job.end(NOW),
    "Pending-Held": held,
    "Started": started,
    "Processing": processing,
    "Terminating": terminating,
    "Completed": completed,
    "Canceled": lambda job: job.cancel(NOW),
    "Aborted": lambda job: job.fail(JobReason.PROCESSING_FAILED, NOW),
}
