"""Where jobs run: the port; `local_executor` is its adapter for this machine.

An executor runs the pipeline for jobs and can interrupt them. It decides nothing: the truth is the job's row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from postscan.core.model.job import JobToken

JobDone = Callable[[JobToken, BaseException | None], None]
"""Called when a job has left the executor, with the error that its pipeline raised."""


class Executor(Protocol):
    """The place where jobs run, as the scheduler uses it."""

    def submit(self, token: JobToken, done: JobDone) -> None:
        """Run a job that is in progress; call *done* when it has left. Do nothing if the job runs here already."""

    def interrupt(self, token: JobToken) -> None:
        """Cancel the running filter of the job. Harmless when repeated or too late."""

    def free(self) -> bool:
        """Return whether one more job would run at once."""

    def running(self) -> set[JobToken]:
        """Return the jobs that run here."""

    def stop(self, drain_seconds: float) -> None:
        """Let running filters end within *drain_seconds*, then suspend their jobs."""
