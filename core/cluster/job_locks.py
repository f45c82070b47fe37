"""Which jobs a process may run: those that it holds, and those whose holder has ended.

A port with two adapters: `OnlyHolder` for a process that is the only one to run jobs, and
`postscan.core.cluster.members.Membership` for a member of a cluster, with the rules that are here (decision 90).
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, Protocol

from postscan.core.clock import Clock
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobState
from postscan.core.store.cluster.members import MemberBeat
from postscan.core.store.cluster.turns import JobInProgress

ENDED_SECONDS: Final = 2.0
"""A member has ended if its session is closed and its last beat is older: a living one connects again before that."""

RECONNECT_SECONDS: Final = 6.0
"""Longer than any member needs to connect again after an outage: 3 s for the connection, 1 s of pause, and a margin."""


class JobLocks(Protocol):
    """Who runs which job, as the scheduler asks. The row of a job has the identifier of its holder."""

    @property
    def holder(self) -> str:
        """The identifier of this process, new at each start."""

    @property
    def is_held(self) -> bool:
        """Whether this process may run jobs now: the others see that it is alive."""

    def left(self, jobs: Sequence[JobInProgress]) -> Collection[JobToken]:
        """Return those of the jobs, each of another holder, that this process may resume. Raises `StoreBusy`."""


class OnlyHolder:
    """The adapter of a process that is alone: every other holder has ended, which the lock of the server shows."""

    def __init__(self) -> None:
        self.holder = str(uuid.uuid4())
        self.is_held = True

    def left(self, jobs: Sequence[JobInProgress]) -> Collection[JobToken]:
        """Return all of them."""
        return [job.token for job in jobs]


class BeatWatch:
    """For how many seconds each member has not beaten, by the steady clock of the process that asks.

    A clock of the database that is set changes nothing, and neither does an outage: only the time counts for which the
    process that asks has itself been connected.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[datetime, float]] = {}

    def silence(self, beats: Sequence[MemberBeat], connected: float) -> dict[str, float]:
        """Return the seconds since a beat of each member was new, at most those since this one was *connected*."""
        now = self._clock.ticks()
        before = self._seen
        self._seen = {}
        for one in beats:
            beat, since = before.get(one.member.id, (None, now))
            self._seen[one.member.id] = (one.beat, since if beat == one.beat else now)
        return {id: min(now - since, connected) for id, (_, since) in self._seen.items()}


def is_left(job: JobInProgress, silence: float, *, is_locked: bool, connected: float, lease: float) -> bool:
    """Return whether the holder of a job has ended, or has to count as if it had.

    *silence* are the seconds for which it has not beaten, *connected* those for which the process that asks has been
    connected.
    """
    if silence > lease:
        return True
    if is_locked or silence <= ENDED_SECONDS or connected <= RECONNECT_SECONDS:
        return False
    # Without its connection it may still be alive, and its filter may run: a Canceled would not be true yet.
    return job.state is not JobState.TERMINATING
