"""A spool that several machines use is compared while they use it: two looks for each judgement (F-R28, I4)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from conftest import ANNA
from works import Works

from postscan.core.engine import Engine
from postscan.core.model.states import JobState
from postscan.core.spool.shared_looks import LOOK_SECONDS, UNKNOWN_SECONDS, SharedLooks
from postscan.core.store.cluster.members import Member, MemberBeat
from postscan.core.store.store import Store

OF_NO_JOB = "11112222-0000-4000-8000-000000000000"


@pytest.fixture
def stopped(core: Engine) -> Works:
    """An engine that is not running."""
    return Works(core, ANNA)


@pytest.fixture
def looks(core: Engine) -> SharedLooks:
    """The looks of one process."""
    return SharedLooks(core.store, core.spool, core.clock)


def left(works: Works, key: str, age: float) -> Path:
    """Leave a file that no row has, changed so many seconds ago."""
    path = works.core.settings.storage.spool_dir / key
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"a page")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_what_two_looks_find_is_put_aside_or_removed(stopped: Works, looks: SharedLooks) -> None:
    """Images are put aside; uploads that are not complete, and what filters made, are removed."""
    keys = (f"{OF_NO_JOB}/1-aaaa", f"{OF_NO_JOB}/2-bbbb@member.part", f"{OF_NO_JOB}/made-3-cccc")
    paths = [left(stopped, key, UNKNOWN_SECONDS + 60) for key in keys]
    token = stopped.create("copy")
    stopped.send(token)

    looks.look()
    assert all(path.exists() for path in paths)
    looks.look()

    assert not any(path.exists() for path in paths)
    lost = stopped.core.settings.storage.spool_dir / "lost+found"
    assert [path.name for path in lost.rglob("*") if path.is_file()] == ["1-aaaa"]
    assert [file.key for file in stopped.core.spool.files()] == [stopped.job(token).documents[0].blob]


def test_a_file_that_is_young_is_left_alone(stopped: Works, looks: SharedLooks) -> None:
    """Another machine may be about to store its row, or be writing it."""
    paths = [left(stopped, f"{OF_NO_JOB}/{name}", UNKNOWN_SECONDS - 60) for name in ("1-aaaa", "2-bbbb.part")]

    for _ in range(3):
        looks.look()

    assert all(path.exists() for path in paths)


def test_an_upload_of_a_member_that_is_alive_is_left_alone(
    stopped: Works, looks: SharedLooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it is silent; that of a member that was not seen for as long is removed."""
    members = [MemberBeat(Member(id, "", "", "", "", ""), "", age) for id, age in (("alive", 5.0), ("dead", 9_000.0))]
    monkeypatch.setattr(Store, "members", lambda store: members)
    names = ("1-aaaa@alive.part", "2-bbbb@dead.part", "3-cccc@forgotten.part")
    paths = [left(stopped, f"{OF_NO_JOB}/{name}", UNKNOWN_SECONDS + 60) for name in names]

    for _ in range(2):
        looks.look()

    assert [path.exists() for path in paths] == [True, False, False]


def test_a_job_is_damaged_if_two_looks_say_so(stopped: Works, looks: SharedLooks) -> None:
    """A file that is back at the second look was not lost."""
    lost, back = stopped.create("copy"), stopped.create("copy")
    image = {token: stopped.send(token) for token in (lost, back)}
    files = {token: stopped.core.spool.path(stopped.job(token).documents[0]) for token in (lost, back)}
    for path in files.values():
        path.unlink()

    looks.look()
    assert {stopped.job(token).state for token in (lost, back)} == {JobState.CREATING}
    files[back].parent.mkdir(exist_ok=True)
    files[back].write_bytes(image[back])
    looks.look()

    assert [stopped.job(token).state for token in (lost, back)] == [JobState.ABORTED, JobState.CREATING]


def test_a_look_is_due_from_time_to_time(stopped: Works) -> None:
    """The sweeper asks more often."""
    now = [0.0]

    class Ticking:
        def ticks(self) -> float:
            return now[0]

        def __getattr__(self, name: str) -> object:
            return getattr(stopped.core.clock, name)

    path = left(stopped, f"{OF_NO_JOB}/1-aaaa", UNKNOWN_SECONDS + 60)
    looks = SharedLooks(stopped.core.store, stopped.core.spool, Ticking())
    there = []
    for at in (0.0, LOOK_SECONDS - 1, LOOK_SECONDS):
        now[0] = at
        list(looks.batches())
        there.append(path.exists())

    assert there == [True, True, False]
