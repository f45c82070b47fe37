"""Steady time of several machines: it only goes forward, and all follow the leader."""

from __future__ import annotations

import pytest

from postscan.core import clock as clock_module
from postscan.core.clock import Mark, SystemClock
from postscan.core.cluster.leadership import AlwaysLeader
from postscan.core.cluster.shared_clock import SharedClock
from postscan.core.store.store import Store


class Follower(AlwaysLeader):
    """A process that does not lead."""

    is_leader = False


@pytest.fixture
def uptime(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The uptime of this machine, which stands still."""
    now = [50.0]
    monkeypatch.setattr(clock_module, "_uptime", lambda: now[0])
    return now


def test_a_process_on_another_machine_continues_from_the_mark_of_the_leader(store: Store, uptime: list[float]) -> None:
    """Whatever its own uptime is; its own seconds are added."""
    store.keep_mark(Mark("another boot", 9.0, 1_000.0))
    clock = SystemClock()
    SharedClock(store, clock, Follower()).keep()
    uptime[0] += 2.5

    assert clock.ticks() == 1_002.5


def test_a_clock_that_is_ahead_stays_and_is_the_next_mark(store: Store, uptime: list[float]) -> None:
    """No deadline begins anew when the lead moves."""
    store.keep_mark(Mark("another boot", 9.0, 1_000.0))
    clock = SystemClock(Mark("a third boot", 1.0, 2_000.0))
    SharedClock(store, clock, AlwaysLeader()).keep()
    mark = store.mark()

    assert clock.ticks() == 2_000.0
    assert mark is not None
    assert mark.ticks == 2_000.0


def test_on_the_machine_of_the_leader_the_age_of_its_mark_counts(store: Store, uptime: list[float]) -> None:
    """Both read the same uptime."""
    leader = SystemClock(Mark("an earlier boot", 1.0, 3_000.0))
    SharedClock(store, leader, AlwaysLeader()).keep()
    uptime[0] += 7.0
    clock = SystemClock()
    SharedClock(store, clock, Follower()).keep()

    assert clock.ticks() == leader.ticks() == 3_007.0


def test_who_does_not_lead_stores_no_mark(store: Store) -> None:
    """Two that write would take turns in going back."""
    SharedClock(store, SystemClock(), Follower()).keep()

    assert store.mark() is None


def test_a_database_without_a_mark_gets_one_of_the_leader(store: Store) -> None:
    """As that of a new installation."""
    SharedClock(store, SystemClock(), AlwaysLeader()).keep()

    assert store.mark() is not None
