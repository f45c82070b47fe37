"""The pauses between two processes of a source, and when there are no more."""

from __future__ import annotations

from postscan.core.registry.restarts import Restarts
from postscan.plugins.testing.runner import FakeClock


def test_each_pause_is_twice_the_one_before_up_to_a_minute(clock: FakeClock) -> None:
    """For processes that live for minutes: so many ends are not too many."""
    restarts = Restarts(clock.ticks)
    pauses = []
    for _ in range(9):
        clock.advance(200)
        pauses.append(restarts.ended(200))

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_fifth_end_within_ten_minutes_is_the_last(clock: FakeClock) -> None:
    """Whatever is wrong does not pass by itself."""
    restarts = Restarts(clock.ticks)
    pauses = []
    for _ in range(5):
        clock.advance(149)
        pauses.append(restarts.ended(149))

    assert pauses == [1, 2, 4, 8, None]


def test_a_process_that_ran_for_ten_minutes_was_a_good_one(clock: FakeClock) -> None:
    """The next pause is the first one again."""
    restarts = Restarts(clock.ticks)
    for _ in range(3):
        clock.advance(10)
        restarts.ended(10)
    clock.advance(600)

    assert restarts.ended(600) == 1


def test_an_administrator_begins_anew(clock: FakeClock) -> None:
    """After a quarantine."""
    restarts = Restarts(clock.ticks)
    for _ in range(5):
        restarts.ended(1)
    restarts.reset()

    assert [restarts.ended(1) for _ in range(5)] == [1, 2, 4, 8, None]


def test_what_this_machine_could_not_start_does_not_count(clock: FakeClock) -> None:
    """It waits longer each time, and is never given up for that."""
    restarts = Restarts(clock.ticks)

    assert [restarts.pause(0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert restarts.ended(1) == 60
