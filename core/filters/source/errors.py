"""What a source is told instead of "stored": the errors that `SourceContext.job` and its block raise.

None of them is a reason to stop: each says what to answer at the origin. Whatever else is raised, also `Cancelled`, has
the same meaning as `Busy`: the origin is not acknowledged, and may come again.
"""

from __future__ import annotations


class Taken(Exception):
    """The key of this origin is a job already, of this `token`: tidy up at the origin, as after a job was stored."""

    def __init__(self, token: str) -> None:
        super().__init__(f"the origin is job {token} already")
        self.token = token


class Busy(Exception):
    """There is no room or no server now: ask the origin to come again after about `seconds`.

    `full` says that the disk is full, where a protocol has another answer for that. If the error is raised inside the
    block of a job or at its end, the outcome is not known; the same key gives `Taken` later if the job was stored.
    """

    def __init__(self, seconds: float = 30.0, *, full: bool = False, why: str = "") -> None:
        super().__init__(why or ("the disk is full" if full else "no room for a further job now"))
        self.seconds = seconds
        self.full = full


class Refused(Exception):
    """The server does not take this, however often it comes; the text says what is wrong, for the origin to show."""


class Ended(Exception):
    """The job `token` was cancelled, or ended in another way, while its pages came: tell the origin to stop.

    The key stays taken. What the origin did is recorded with `SourceJob.told`.
    """

    def __init__(self, token: str, reason: str) -> None:
        super().__init__(reason or "the job was cancelled")
        self.token = token
        self.reason = reason
