"""What the exit code of a command says."""

from __future__ import annotations

from typing import Final

ERROR: Final = 1
"""It could not be done; one line on stderr says why. (2 is a wrong command line, as everywhere.)"""

_OF_JOB: Final = {"Completed": 0, "Canceled": 3, "Aborted": 4}


def of_job(state: str) -> int:
    """Return the exit code for a job that ended in *state*: 0 Completed, 3 Canceled, 4 Aborted."""
    return _OF_JOB[state]
