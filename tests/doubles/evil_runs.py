"""Jobs and runs of the filters of `tests/outside/evil`, and the times within which one of them ends."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from works import SID, Works

from postscan.core.filters.facts import JobFacts
from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import User
from postscan.core.model.process import FilterInstructions, Instructions
from postscan.core.workers import protocol

EVIL = Path(__file__).parents[1] / "outside" / "evil"
GRACE, TERM = 0.3, 0.3
SLACK = 30.0  # a busy machine needs it; `python -m campaigns cancels` and `python -m bench cancel` measure


class Den(Works):
    """A running engine whose jobs have one evil filter each."""

    def start_evil(self, name: str) -> JobToken:
        """Make a job of one evil filter, with one image, and end it."""
        asked = (FilterInstructions(f"urn:evil:{name}", b"<do/>"),)
        token = self.service.create(self.by, SID, "P", Instructions("Invoice", asked))
        self.send(token)
        self.service.end(token, self.by)
        return token

    def cancelled(self, token: str) -> Job:
        """Cancel the job, and wait for its end."""
        self.service.cancel(token, self.by)
        return self.ended(token)

    def left(self, token: str) -> list[int]:
        """Return the processes that the job's filter started, living or not."""
        return [int(line[1]) for line in self.trace(token) if line[0] == "left"]


def order_of(name: str, folder: Path) -> protocol.RunOrder:
    """Return the order to run an evil filter without job and database."""
    return protocol.RunOrder(
        plugin="evil",
        dialect=f"urn:evil:{name}",
        workdir=folder,
        instructions="<do/>",
        settings={"folder": str(folder)},
        job=JobFacts("job", "Test", datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)),
        user=User(SID, "anna"),
    )
