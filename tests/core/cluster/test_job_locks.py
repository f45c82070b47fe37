"""When a job of another process may be resumed: rules on values, with a clock that is moved by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from postscan.core.cluster.job_locks import ENDED_SECONDS, RECONNECT_SECONDS, BeatWatch, OnlyHolder, is_left
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobState
from postscan.core.store.cluster.members import Member, MemberBeat
from postscan.core.store.cluster.turns import JobInProgress
from postscan.plugins.testing.runner import EXAMPLE_TIME, FakeClock

LEASE = 60.0
LONG = 10 * LEASE
OTHER = Member("other", "there", "worker", "1", "folder", "hash")


def job(state: JobState = JobState.PROCESSING) -> JobInProgress:
    """Return a job that another member runs."""
    return JobInProgress(JobToken("job"), state, OTHER.id, 1)


def beat(number: int) -> MemberBeat:
    """Return the other member as it was seen at one of its beats; the time of the database does not count."""
    return MemberBeat(OTHER, EXAMPLE_TIME + timedelta(hours=number), 0.0)


def test_a_process_that_is_alone_resumes_every_job_at_once() -> None:
    """The lock of the database shows that no other process runs any."""
    assert OnlyHolder().left([job(), job(JobState.TERMINATING)]) == ["job", "job"]
    assert OnlyHolder().holder != OnlyHolder().holder


@pytest.mark.parametrize(
    ("silence", "is_locked", "connected", "expected"),
    [
        (ENDED_SECONDS + 0.1, False, LONG, True),
        (ENDED_SECONDS, False, LONG, False),  # it may be connecting again
        (ENDED_SECONDS + 0.1, True, LONG, False),  # it is slow
        (ENDED_SECONDS + 0.1, False, RECONNECT_SECONDS, False),  # others need as long after an outage
        (LEASE, True, LONG, False),
        (LEASE + 0.1, True, LONG, True),  # it hangs
    ],
)
def test_a_job_is_left_when_its_holder_has_ended_or_hangs(
    silence: float, is_locked: bool, connected: float, expected: bool
) -> None:
    """Its session is closed and it does not beat; or it has not beaten for its lease."""
    assert is_left(job(), silence, is_locked=is_locked, connected=connected, lease=LEASE) is expected


def test_a_cancel_is_completed_for_another_only_behind_its_lease() -> None:
    """Its connection has ended; its filter may still run, and Canceled would be a lie until it has stopped itself."""
    of = {"is_locked": False, "connected": LONG, "lease": LEASE}

    assert not is_left(job(JobState.TERMINATING), LEASE, **of)
    assert is_left(job(JobState.TERMINATING), LEASE + 0.1, **of)


def test_silence_is_counted_from_the_last_beat_that_was_new(clock: FakeClock) -> None:
    """By the clock of the process that asks: the one of the database may be set."""
    watch = BeatWatch(clock)

    found = []
    for number in (1, 2, 2, 2, 3):
        found.append(watch.silence([beat(number)], LONG)["other"])
        clock.advance(10)

    assert found == [0, 0, 10, 20, 0]


def test_no_more_silence_is_counted_than_the_time_of_the_own_connection(clock: FakeClock) -> None:
    """After an outage nobody has beaten, and nobody is overtaken for it."""
    watch = BeatWatch(clock)
    watch.silence([beat(1)], LONG)
    clock.advance(LONG)

    assert watch.silence([beat(1)], 3.0) == {"other": 3.0}


def test_a_member_that_has_gone_is_forgotten(clock: FakeClock) -> None:
    """The watch does not grow with each restart of a member."""
    watch = BeatWatch(clock)
    watch.silence([beat(1)], LONG)

    assert watch.silence([], LONG) == {}
    assert watch._seen == {}
