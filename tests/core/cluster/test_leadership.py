"""Who leads: one process of several, and another one soon after it has ended, stands still, or has lost its session."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator

import pytest
import sqlalchemy as sa
from works import until

from postscan.core.cluster import leadership
from postscan.core.cluster.leadership import LEADER, AlwaysLeader, SharedLeadership, inlet_lock
from postscan.core.errors import StoreBusy
from postscan.core.store.cluster import named_locks
from postscan.core.store.store import Store

LEAD = """
import sys
from postscan.core.cluster.leadership import SharedLeadership
from postscan.core.store.cluster import named_locks
from postscan.core.store.store import Store
named_locks.IDLE_SECONDS = 2
leadership = SharedLeadership(Store(sys.argv[1]).lock_session())
leadership.start()
print(leadership.is_leader, flush=True)
sys.stdin.read()
"""
END_LEADER = sa.text(
    "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted"
    " and database = (select oid from pg_database where datname = current_database())"
)


class FakeLocks:
    """A session whose answers are given."""

    def __init__(self, *answers: frozenset[str] | StoreBusy) -> None:
        self._answers = list(answers)
        self.closed = False

    def look(self, wanted: Collection[str]) -> frozenset[str]:
        """Return the next answer."""
        answer = self._answers.pop(0)
        if isinstance(answer, StoreBusy):
            raise answer
        return answer & frozenset(wanted)

    def close(self) -> None:
        """Note it."""
        self.closed = True


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each member asks often."""
    monkeypatch.setattr(leadership, "LOOK_SECONDS", 0.05)


@pytest.fixture
def members(postgres_url: str) -> Iterator[list[SharedLeadership]]:
    """Three members of one database, as three processes would have them."""
    with contextlib.ExitStack() as stack:
        yield [member(stack, postgres_url) for _ in range(3)]


def member(stack: contextlib.ExitStack, url: str, *locks: str) -> SharedLeadership:
    """Start a member with a store of its own."""
    store = stack.enter_context(contextlib.closing(Store(url)))
    session = store.lock_session()
    assert session is not None
    made = SharedLeadership(session, locks or (LEADER,))
    stack.callback(made.stop)
    made.start()
    return made


def leaders(members: list[SharedLeadership]) -> list[int]:
    """Return which of them lead."""
    return [number for number, one in enumerate(members) if one.is_leader]


def test_one_member_leads_and_the_next_one_when_it_stops(members: list[SharedLeadership]) -> None:
    """The first one is leader when its start returns."""
    assert leaders(members) == [0]

    members[0].stop()
    until(lambda: leaders(members), "for another leader")

    assert len(leaders(members)) == 1
    assert leaders(members) != [0]


def test_a_leader_whose_session_has_ended_stops_leading(
    members: list[SharedLeadership], postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It may become leader again: nothing is remembered."""
    caplog.set_level("INFO")
    engine = sa.create_engine(postgres_url)
    with engine.begin() as db:
        assert db.scalar(END_LEADER)
    engine.dispose()
    until(lambda: "work given up" in caplog.messages, "for the leader to notice")
    until(lambda: leaders(members), "for a leader")

    assert len(leaders(members)) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_leader_that_is_killed_or_stands_still_is_replaced(postgres_url: str, number: signal.Signals) -> None:
    """PostgreSQL ends the session of a process that asks no more."""
    with (
        subprocess.Popen(
            [sys.executable, "-c", LEAD, postgres_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as first,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(first.kill)
        assert first.stdout
        assert first.stdout.readline() == "True\n"
        second = member(stack, postgres_url)
        assert not second.is_leader

        os.kill(first.pid, number)
        until(lambda: second.is_leader, "for the second one to lead")


def test_an_answer_counts_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped does not lead when it goes on: another one may have begun meanwhile."""
    now = [100.0]
    monkeypatch.setattr(leadership.time, "monotonic", lambda: now[0])
    one = SharedLeadership(FakeLocks(frozenset({LEADER})))
    one._look()
    assert one.is_leader

    now[0] += leadership.VALID_SECONDS

    assert not one.is_leader
    assert named_locks.IDLE_SECONDS > leadership.VALID_SECONDS


def test_a_database_that_does_not_answer_ends_the_lead_at_once() -> None:
    """Whether the answer was still valid or not."""
    locks = FakeLocks(frozenset({LEADER}), StoreBusy("away"), frozenset({LEADER}))
    one = SharedLeadership(locks)
    seen = []
    for _ in range(3):
        one._look()
        seen.append(one.is_leader)
    one.stop()

    assert seen == [True, False, True]
    assert locks.closed
    assert not one.is_leader


def test_each_inlet_has_a_lock_of_its_own(postgres_url: str) -> None:
    """They move one by one."""
    mail, web = inlet_lock("mail"), inlet_lock("web")
    with contextlib.ExitStack() as stack:
        first = member(stack, postgres_url, mail)
        second = member(stack, postgres_url, mail, web)

        assert (first.holds(mail), second.holds(mail), second.holds(web)) == (True, False, True)
        first.stop()
        until(lambda: second.holds(mail), "for the inlet to move")


def test_a_lock_that_is_not_wanted_any_more_is_free(postgres_url: str) -> None:
    """The session stays."""
    with contextlib.closing(Store(postgres_url)) as store:
        one, other = store.lock_session(), store.lock_session()
        assert one is not None
        assert other is not None
        with contextlib.closing(one), contextlib.closing(other):
            one.look({"a", "b"})

            assert one.look({"a"}) == {"a"}
            assert other.look({"a", "b"}) == {"b"}


def test_a_process_alone_leads(sqlite_url: str) -> None:
    """On SQLite there is one server, and no session to ask."""
    with contextlib.closing(Store(sqlite_url)) as store:
        assert store.lock_session() is None
    alone = AlwaysLeader()
    alone.start()

    assert alone.is_leader
    assert alone.holds(inlet_lock("mail"))
    alone.stop()
