"""Which jobs a search wants, and where it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from postscan.core.errors import InvalidArgument
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobReason, JobState


class SearchCursor(NamedTuple):
    """Where a search goes on: behind the job that was created then and has this token; newest jobs come first."""

    created: datetime
    token: JobToken

    @classmethod
    def parse(cls, text: str) -> SearchCursor:
        """Return the cursor of which *text* is the `str`; raise `InvalidArgument` (after)."""
        created, _, token = text.partition("/")
        try:
            moment = datetime.fromisoformat(created)
            if moment.tzinfo is not None and token:
                return cls(moment.astimezone(UTC), JobToken(token))
        except (ValueError, OverflowError):
            pass
        raise InvalidArgument("after", text, "what a search has printed: a time with a zone, a slash and a token")

    def __str__(self) -> str:
        return f"{self.created.isoformat()}/{self.token}"


class JobGroup(StrEnum):
    """A group of jobs that is found without a look at others: an index has the open and the failed ones."""

    OPEN = "open"
    FAILED = "failed"  # and has images that can be processed again
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs are wanted: those that fulfil every field that is set.

    `process` is an identifier or a name, `user` a SID or a name. `device` is the name of an owner, or the address or
    key in it, or the subject of a source's job. `destination` is one to which a filter of the job was granted an
    output, or that of a source's job. The job was created at `begin` or later, and before `end`. `text` occurs in its
    root name, in the name of its process or of its user; the case of ASCII letters does not count.
    """

    states: tuple[JobState, ...] = ()
    reason: JobReason | None = None
    process: str = ""
    user: str = ""
    device: str = ""
    destination: str = ""
    begin: datetime | None = None
    end: datetime | None = None
    text: str = ""
    group: JobGroup | None = None


ALL_JOBS: Final = JobQuery()
