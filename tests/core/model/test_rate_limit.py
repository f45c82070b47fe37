"""The limit over a sliding window that callers and sources of datagrams share."""

from __future__ import annotations

from postscan.core.model.rate_limit import RateLimit


class Ticks:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


def test_events_above_the_limit_are_refused_until_the_oldest_leaves_the_window() -> None:
    """A refused event does not count: the window slides on with the others."""
    ticks = Ticks()
    limit = RateLimit(2, 60.0, ticks)
    waits = []
    for pause in (0.0, 20.0, 10.0, 10.0, 20.0, 0.0):
        ticks.now += pause
        waits.append(limit.take("anna"))

    assert waits == [0.0, 0.0, 30.0, 20.0, 0.0, 20.0]


def test_a_look_at_the_limit_counts_nothing() -> None:
    """It returns what `take` would return."""
    limit = RateLimit(1, 60.0, Ticks())

    assert [limit.wait("anna"), limit.wait("anna"), limit.take("anna"), limit.wait("anna")] == [0.0, 0.0, 0.0, 60.0]


def test_each_key_has_a_limit_of_its_own() -> None:
    """However the others use theirs."""
    limit = RateLimit(1, 60.0, Ticks())

    assert [limit.take(key) for key in ("anna", "boris", "anna", "boris")] == [0.0, 0.0, 60.0, 60.0]


def test_of_too_many_keys_the_one_without_an_event_for_longest_is_dropped() -> None:
    """Forged keys cost a bounded amount of memory."""
    ticks = Ticks()
    limit = RateLimit(1, 60.0, ticks, keys=2)
    for key in ("anna", "boris", "clara"):
        ticks.now += 1.0
        limit.take(key)

    assert [limit.wait(key) > 0 for key in ("anna", "boris", "clara")] == [False, True, True]


def test_keys_without_an_event_in_the_window_take_no_memory() -> None:
    """They go when the next event is counted, whatever its key."""
    ticks = Ticks()
    limit = RateLimit(2, 60.0, ticks)
    limit.take("anna")
    ticks.now += 60.0
    limit.take("boris")

    assert list(limit._events) == ["boris"]
