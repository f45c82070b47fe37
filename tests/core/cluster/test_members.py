"""Members on a real PostgreSQL: how they see one another, wake one another, and keep a server that is alone out."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from works import until

from postscan.core.clock import SystemClock
from postscan.core.cluster import job_locks, listener, members
from postscan.core.cluster.members import Membership
from postscan.core.cluster.wakeups import Wakeup
from postscan.core.errors import SettingsError
from postscan.core.model.job import JobToken
from postscan.core.model.states import JobState
from postscan.core.settings import Settings
from postscan.core.store.cluster.turns import JobInProgress
from postscan.core.store.database import session_lock
from postscan.core.store.store import Store

LEASE = 3600.0
Make = Callable[..., Membership]


@pytest.fixture
def member(settings: Settings, postgres_url: str) -> Iterator[Make]:
    """Make a member that has joined: `member("name", lease=...)`; all are left at the end."""
    with contextlib.ExitStack() as joined:

        def make(name: str, *, lease: float = LEASE, suspend: Callable[[], None] = lambda: None) -> Membership:
            storage = settings.storage.model_copy(
                update={"data_dir": settings.storage.data_dir / name, "database": postgres_url}
            )
            storage.data_dir.mkdir(parents=True, exist_ok=True)
            cluster = settings.cluster.model_copy(update={"members": "several", "name": name, "lease_seconds": lease})
            own = settings.model_copy(update={"storage": storage, "cluster": cluster})
            store = joined.enter_context(contextlib.closing(Store(postgres_url)))
            made = Membership(own, store, SystemClock(), taken)
            joined.enter_context(made.joined("worker", suspend))
            return made

        yield make


def taken(server: str) -> None:
    """Be called if a server takes the database; here, none does."""
    raise AssertionError(server)


def held_by(one: Membership, state: JobState = JobState.PROCESSING) -> JobInProgress:
    """Return a job that a member runs."""
    return JobInProgress(JobToken("job"), state, one.holder, 1)


def end_session(one: Membership) -> None:
    """End the connection of a member from outside, as when its process is killed, and let it not come back."""
    one._listener._stopping.set()
    with contextlib.closing(one._store._database.separate()) as db:
        db.execute(
            sa.text("select pg_terminate_backend(pid) from pg_stat_activity where application_name = :name"),
            {"name": one._session_name},
        )
    until(lambda: not one._listener.is_started, "for the thread to end")


def test_members_see_one_another_until_they_leave(member: Make) -> None:
    """In the rows of the database; who leaves in order is gone, and its jobs may be resumed."""
    first, second = member("one"), member("two")
    beats = first._store.members()
    locked = first._store.locked_members([one.member for one in beats])
    second._listener.stop()

    assert [(one.member.name, one.member.role) for one in beats] == [("one", "worker"), ("two", "worker")]
    assert locked == {first.holder, second.holder}
    assert [one.member.name for one in first._store.members()] == ["one"]
    assert first.left([held_by(second)]) == ["job"]


def test_members_with_other_settings_are_named(member: Make, caplog: pytest.LogCaptureFixture) -> None:
    """One judges the others by another lease, for example; it runs all the same."""
    member("one")
    member("two")
    same = [one.getMessage() for one in caplog.records]
    member("three", lease=LEASE / 2)

    assert "member has other settings" not in same
    found = [vars(one)["member"] for one in caplog.records if one.getMessage() == "member has other settings"]
    assert found == ["one", "two"]


def test_wakeups_reach_the_other_members_and_not_their_sender(member: Make) -> None:
    """Also those of a process that is no member, such as a command; what is no wake-up is ignored."""
    first, second = member("one"), member("two")
    heard: list[tuple[str, Wakeup, str]] = []
    for name, one in (("one", first), ("two", second)):
        for kind in Wakeup:
            one.wakeups.on(kind, lambda token, name=name, kind=kind: heard.append((name, kind, token)))

    first.wakeups.send(Wakeup.CANCEL, "a job")
    until(lambda: heard, "for the other")
    first._store.notify(["unknown", "wake"])
    until(lambda: len(heard) == 3, "for both")

    assert heard[0] == ("two", Wakeup.CANCEL, "a job")
    assert sorted(heard[1:]) == [("one", Wakeup.WAKE, ""), ("two", Wakeup.WAKE, "")]


def test_a_wakeup_that_arrives_during_a_beat_does_not_wait_for_the_next_one(member: Make) -> None:
    """The driver reads it together with the answer to the statement."""
    first, second = member("one"), member("two")
    session = first._open_session()
    with contextlib.closing(session):
        second._store.notify(["wake"])
        until(lambda: session.beat() or session._received, "for the text")
        begun = time.monotonic()
        texts = session.received(30.0, first._listener._awake)

    assert texts == ["wake"]
    assert time.monotonic() - begun < 25


def test_many_wakeups_are_one_and_what_waits_is_bounded(member: Make) -> None:
    """A caller that ends thousand jobs does not fill the memory of a server whose database is away."""
    one = member("one")
    one._listener._stopping.set()
    one._listener._wake()
    until(lambda: not one._listener.is_started, "for the thread to end")

    for number in range(2 * listener.MOST_WAITING):
        one._listener.send("wake")
        one._listener.send(f"cancel {number}")

    assert len(one._listener._waiting) == listener.MOST_WAITING
    assert one._listener._waiting[-1] == f"cancel {2 * listener.MOST_WAITING - 1}"


def test_the_job_of_a_member_that_was_killed_may_be_resumed(member: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session is closed, and it beats no more; not that of a member whose connection alone was cut."""
    monkeypatch.setattr(job_locks, "RECONNECT_SECONDS", 0.0)
    monkeypatch.setattr(job_locks, "ENDED_SECONDS", 0.3)
    monkeypatch.setattr(members, "ENDED_SECONDS", 0.3)
    first, second = member("one"), member("two")
    end_session(second)

    until(lambda: first.left([held_by(second)]), "for the silence")
    assert first.left([held_by(second, JobState.TERMINATING)]) == []
    assert first.left([held_by(first)]) == []


def test_a_member_connects_again_and_is_not_overtaken(
    member: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All of them, as after a restart of PostgreSQL; each counts the silence of the others from its own connection."""
    monkeypatch.setattr(listener, "BEAT_SECONDS", 0.05)
    first, second = member("one"), member("two")
    until(lambda: first._listener.connected_for > 0.3, "for some time")
    cut = SystemClock().ticks()
    with contextlib.closing(first._store._database.separate()) as db:
        db.execute(sa.text("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"))

    until(lambda: [one.getMessage() for one in caplog.records].count("member connected again") == 2, "for both")

    assert first._listener.connected_for < SystemClock().ticks() - cut
    assert first.left([held_by(second)]) == []
    until(
        lambda: len(first._store.locked_members([first.member, second.member])) == 2,
        "for both locks",
    )


def test_an_earlier_process_on_the_same_data_folder_has_ended(member: Make) -> None:
    """Its successor holds the lock of the folder, and has ended its filters: it resumes its jobs at once."""
    first = member("one")
    end_session(first)
    successor = member("one")

    assert successor.member.folder == first.member.folder
    assert successor.left([held_by(first), held_by(first, JobState.TERMINATING)]) == ["job", "job"]
    assert not successor.are_others_alive()


def test_a_living_process_on_a_copy_of_the_data_folder_is_not_overtaken(member: Make) -> None:
    """Its session is open, whatever the identifier of its folder is."""
    first = member("one")
    copy = member("one")

    assert copy.member.folder == first.member.folder
    assert copy.left([held_by(first), held_by(first, JobState.TERMINATING)]) == []
    assert copy.are_others_alive()


def test_a_member_that_cannot_beat_stops_its_filters_and_claims_nothing_until_it_can(
    member: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the end of its lease, after which the others resume its jobs."""
    suspended = threading.Event()
    monkeypatch.setattr(members, "STOP_MARGIN", 0.5 - 60.3)  # the filters of these settings may take 60.3 s to stop
    monkeypatch.setattr(listener, "BEAT_SECONDS", 0.05)
    one = member("one", lease=1.0, suspend=suspended.set)
    was_held = one.is_held
    monkeypatch.setattr(listener, "BEAT_SECONDS", 3600.0)

    assert was_held
    assert suspended.wait(60)
    assert not one.is_held
    assert "member cut off from the database: its filters are stopped" in [r.getMessage() for r in caplog.records]
    assert logging.ERROR in [r.levelno for r in caplog.records]


def test_members_and_a_server_that_is_alone_keep_each_other_out(
    member: Make, settings: Settings, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary second start by mistake is refused, in both orders."""
    monkeypatch.setattr(session_lock, "LOCK_SECONDS", 0.0)
    monkeypatch.setattr(members, "LOCK_SECONDS", 0.0)
    with contextlib.closing(Store(postgres_url)) as other:
        with other.served(taken), pytest.raises(SettingsError, match=r"alone: process \d+.*cluster.members = several"):
            member("one")
        until(lambda: other.server() is None, "for the lock to be free")
        member("two")
        with pytest.raises(SettingsError, match="another postscan server uses this database"), other.served(taken):
            pass


def test_members_start_one_after_another(member: Make) -> None:
    """The first one may look for files without rows, and no other adds some meanwhile."""
    one = member("one")
    begun = threading.Event()

    def start() -> None:
        with one._store.members_starting():
            begun.set()

    with one._store.members_starting():
        second = threading.Thread(target=start)
        second.start()
        assert not begun.wait(0.2)
    second.join()

    assert begun.is_set()


def test_rows_of_members_that_ended_long_ago_are_removed(member: Make) -> None:
    """A row of a member that was killed stays until then."""
    first, second = member("one"), member("two")
    end_session(second)
    with first._store.writing() as db:
        db.execute(sa.text("update member set beat = beat - interval '2 days' where name = 'two'"))

    first.forget()

    assert [one.member.name for one in first._store.members()] == ["one"]
