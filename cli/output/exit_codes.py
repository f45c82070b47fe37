"""The exit codes of commands."""

from __future__ import annotations

from typing import Final

ERROR: Final = 1
"""An error; one line on stderr has the reason. (2 is a wrong command line, as usual.)"""

_OF_JOB: Final = {"Completed": 0, "Canceled": 3, "Aborted": 4}


def of_job(state: str) -> int:
    """Return the exit code for a job that ended in *state*: 0 Completed, 3 Canceled, 4 Aborted."""
    return _OF_JOB[state]
