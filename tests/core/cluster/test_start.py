"""How a member starts: what it may sweep, and which jobs it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ANNA, AnyProcess
from members import Cluster
from works import Works

from postscan.core.clock import SystemClock
from postscan.core.cluster.job_locks import OnlyHolder
from postscan.core.cluster.wakeups import NoWakeups
from postscan.core.engine import Engine
from postscan.core.execution.local_executor import LocalExecutor
from postscan.core.execution.scheduler import Scheduler
from postscan.core.model.states import JobState


@pytest.fixture
def cluster(tmp_path: Path, postgres_url: str) -> Iterator[Cluster]:
    """The settings of two workers, which are not started, and a front end."""
    with contextlib.closing(Cluster(tmp_path, postgres_url, 2)) as made:
        yield made


def test_a_member_that_starts_removes_nothing_that_a_living_one_receives(cluster: Cluster) -> None:
    """A file without a row may be an image that another member receives; alone, a member compares as a server does."""
    first, second = (Engine(worker.settings, AnyProcess()) for worker in cluster.workers)
    with contextlib.closing(first), contextlib.closing(second):
        with first._admitted("worker"):
            part = first.settings.storage.spool_dir / "a-job" / "1-aaaa.part"
            part.parent.mkdir()
            part.write_bytes(b"half")
            with second._admitted("worker"):
                kept = part.exists()
        with contextlib.closing(Engine(cluster.workers[0].settings, AnyProcess())) as again, again._admitted("worker"):
            assert not part.exists()
    assert kept


def test_a_process_that_the_others_do_not_see_claims_and_resumes_nothing(core: Engine) -> None:
    """They would soon resume what it runs."""
    works, ran = Works(core, ANNA), []
    waiting, left = works.start("copy"), works.start("copy")
    assert core.store.claim(core.clock.now(), "another") is not None
    executor = LocalExecutor(lambda run, _interrupt: ran.append(run.token), 4)
    locks = OnlyHolder()
    locks.is_held = False
    scheduler = Scheduler(core.store, SystemClock(), executor, locks, NoWakeups())

    scheduler.poll()
    before = [core.store.load(token).state for token in (waiting, left)]
    locks.is_held = True
    scheduler.poll()
    executor.stop(60)

    assert sorted(before) == [JobState.PENDING, JobState.STARTED]
    assert sorted(ran) == sorted([waiting, left])
