"""Where jobs run: the port; `local_executor` is its adapter for this machine.

An executor runs the pipeline for jobs and can interrupt them. It decides nothing: the truth is the job's row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from postscan.core.model.job import JobToken, JobTurn

JobDone = Callable[[JobToken, BaseException | None], None]
"""Called when a job has left the executor, with the error that its pipeline raised; `ShuttingDown` if suspended."""


class Executor(Protocol):
    """The place where jobs run, as the scheduler uses it."""

    def submit(self, run: JobTurn, done: JobDone) -> None:
        """Run a job that is in progress; call *done* when it has left. Do nothing if the job runs here already."""

    def interrupt(self, token: JobToken) -> None:
        """Cancel the running filter of the job. Harmless when repeated or too late."""

    def drop(self, token: JobToken) -> None:
        """Stop the running filter of a job that another process has resumed. Harmless when repeated or too late."""

    def suspend(self) -> None:
        """Suspend all jobs that run here, and go on: this process may not run them any more."""

    def free(self) -> bool:
        """Return whether one more job would run at once."""

    def running(self) -> dict[JobToken, int]:
        """Return the jobs that run here, and their turns."""

    def stop(self, drain_seconds: float) -> None:
        """Let running filters end within *drain_seconds*, then suspend their jobs."""
