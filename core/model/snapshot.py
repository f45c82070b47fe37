"""A job as it is after one commit, and what one commit has changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from postscan.core.model.events import (
    Event,
    FilterStateChanged,
    ImageReceived,
    JobEnded,
    JobStateChanged,
    RepositoryEvent,
)
from postscan.core.model.job import JobToken
from postscan.core.model.principal import User
from postscan.core.model.states import FilterState, JobState


@dataclass(frozen=True, slots=True)
class FilterSnapshot:
    """One filter as it was after a commit."""

    dialect: str
    state: FilterState
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job as it was after one commit; the fields have the names of those of `Job`."""

    token: JobToken
    user: User
    process_id: str
    process_name: str
    state: JobState
    reasons: tuple[str, ...]
    steps: tuple[FilterSnapshot, ...]
    images_received: int
    created: datetime
    completed: datetime | None

    def after(self, event: Event | RepositoryEvent) -> Snapshot:
        """Return the snapshot after one more event of the job."""
        match event:
            case JobStateChanged(state, reasons):
                return replace(self, state=JobState(state), reasons=reasons)
            case ImageReceived():
                return replace(self, images_received=self.images_received + 1)
            case FilterStateChanged(position, state, reasons):
                step = replace(self.steps[position], state=FilterState(state), reasons=reasons)
                return replace(self, steps=(*self.steps[:position], step, *self.steps[position + 1 :]))
            case JobEnded(at=at):
                return replace(self, completed=at)
        return self

    def status_differs(self, before: Snapshot) -> bool:
        """Return whether the status differs; received images do not count (ruling 23)."""
        return (self.state, self.reasons, self.steps) != (before.state, before.reasons, before.steps)


@dataclass(frozen=True, slots=True)
class JobChange:
    """What one commit changed of a job, or of the repository if `job` is None.

    `seq` is the number of its last event and identifies the change. `first`: it created the job. `ended`: the job
    reached its last state, of which subscribers are notified twice, as a status and as an end. `state` and `filters`
    are the repository's, whichever changed.
    """

    seq: int
    job: Snapshot | None
    first: bool = False
    ended: bool = False
    state: str = ""
    filters: tuple[str, ...] | None = None
