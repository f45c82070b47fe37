"""Where jobs run: the port, and its adapter for this machine.

An executor brings jobs to a pipeline and can interrupt them. It decides nothing: the truth is the job's row.
"""

from __future__ import annotations

from typing import Protocol

from postscan.core.model.job import JobToken


class Executor(Protocol):
    """What the scheduler asks of the place where jobs run."""

    def submit(self, token: JobToken) -> None:
        """Run the job; it is in hand already."""

    def interrupt(self, token: JobToken) -> None:
        """Wake the job's running filter: its job was cancelled. Harmless when repeated or too late."""

    def free(self) -> bool:
        """Return whether one more job would run at once."""

    def running(self) -> set[JobToken]:
        """Return the jobs that run here."""

    def stop(self, drain_seconds: float) -> None:
        """Let running filters end in this time, then put their jobs down."""
