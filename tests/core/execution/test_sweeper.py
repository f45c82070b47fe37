"""What need not be done at once is done in small transactions, and no cancel waits for it."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import databases
import pytest
import sqlalchemy as sa
from conftest import ANNA, AnyProcess
from shared_lead import Member
from works import Works, until

from postscan.core.engine import Engine
from postscan.core.errors import StoreBusy
from postscan.core.execution import sweeper
from postscan.core.model.job import Job, JobDocument
from postscan.core.model.records import RequestKey, StoredResponse
from postscan.core.model.states import JobState
from postscan.core.settings import Settings
from postscan.core.store import retention
from postscan.core.store.schema import JOB, REQUEST
from postscan.plugins.testing.runner import EXAMPLE_TIME, FakeClock

BATCH = 3
MANY = 2 * BATCH + 1
DAY = 24 * 3600.0
IN_BATCHES = [BATCH, 2 * BATCH, MANY]


@pytest.fixture
def core(settings: Settings, clock: FakeClock) -> Iterator[Engine]:
    """An engine that is not running, on a clock of the test's; it keeps no ended job for its number."""
    retention = settings.retention.model_copy(update={"jobs": 0})
    databases.migrated(settings.storage.url)
    core = Engine(settings.model_copy(update={"retention": retention}), AnyProcess(), clock)
    yield core
    core.close()


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch has few jobs, so that a test needs few."""
    monkeypatch.setattr(retention, "BATCH", BATCH)


@pytest.fixture
def silent(core: Engine, clock: FakeClock, job: Callable[..., Job]) -> list[str]:
    """Jobs whose devices sent nothing more, and whose deadline has passed."""
    tokens = [f"silent-{number:03d}" for number in range(MANY)]
    for token in tokens:
        core.store.insert(job(token=token))
    clock.advance(1)
    return tokens


def states(core: Engine) -> Counter[JobState]:
    """Return how many jobs are in each state."""
    return Counter(job.state for job in (*core.store.open_jobs(), *core.store.ended_jobs(limit=1000)))


def cancelled_jobs(core: Engine, job: Callable[..., Job]) -> None:
    """Make many cancelled jobs, each with an image and a stored response."""
    for number in range(MANY):
        token = f"ended-{number:03d}"
        core.store.insert(job(token=token))
        response = StoredResponse(ANNA.name, RequestKey(f"urn:{number}", ""), "cancel", token, core.clock.ticks())
        with core.store.change(token, response) as one:
            one.receive(JobDocument(1, "png", 1, "0" * 64, f"{token}/1"), EXAMPLE_TIME)
            one.cancel(EXAMPLE_TIME)


@pytest.mark.usefixtures("silent")
def test_silent_jobs_end_some_at_a_time(core: Engine) -> None:
    """D4: each transaction ends a batch of them, so that no other change waits for all."""
    ended = [states(core)[JobState.ABORTED] for _ in core.sweeper.expire()]

    assert ended == IN_BATCHES
    assert states(core) == {JobState.ABORTED: MANY}


def test_a_silent_job_that_was_changed_meanwhile_is_left_alone(core: Engine, silent: list[str]) -> None:
    """D4: the row decides, when it is written."""
    saved, sent, ended, gone = silent[:4]
    core.store.extend_deadline(sent, core.clock.ticks() + 600)
    core.store.extend_deadline(saved, core.clock.ticks() - 1)
    with core.store.change(ended) as job:
        job.cancel(EXAMPLE_TIME)

    expired = core.store.expire([saved, sent, ended, f"not-{gone}"], core.clock.ticks(), EXAMPLE_TIME)

    assert expired == [saved]
    assert states(core) == {JobState.CREATING: MANY - 2, JobState.CANCELED: 1, JobState.ABORTED: 1}


def test_what_is_no_longer_kept_goes_some_at_a_time(core: Engine, clock: FakeClock, job: Callable[..., Job]) -> None:
    """D15: jobs, their images and the stored responses; one transaction removes a batch at most."""
    cancelled_jobs(core, job)
    core.retention.sweep()
    clock.advance(DAY + 1)
    left = [kept(core), *(kept(core) for _ in core.retention.batches())]

    assert (left[0], left[-1]) == ((MANY, MANY, MANY), (0, 0, 0))
    assert max(sum(before) - sum(after) for before, after in itertools.pairwise(left)) == BATCH


def kept(core: Engine) -> tuple[int, int, int]:
    """Return how many jobs still have their images, how many jobs there are, and how many stored responses."""
    with core.store.reading() as db:
        jobs = sa.select(sa.func.count(sa.case((JOB.c.images_kept, 1))), sa.func.count()).select_from(JOB)
        with_images, all_jobs = db.execute(jobs).one()
        return with_images, all_jobs, db.scalar(sa.select(sa.func.count()).select_from(REQUEST)) or 0


def test_devices_that_fall_silent_do_not_wait_for_a_sweep(
    core: Engine, clock: FakeClock, job: Callable[..., Job]
) -> None:
    """D4: they are looked for behind each transaction of it."""
    cancelled_jobs(core, job)
    sweep = core.sweeper.batches()
    next(sweep)
    core.store.insert(job(token="silent"))
    clock.advance(1)

    next(sweep)

    assert core.store.load("silent").state is JobState.ABORTED
    assert sum(1 for _ in sweep) > 0


def test_a_cancel_is_handled_while_a_sweep_stands_still(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-R25: the disk of the spool does not answer; a cancel from another process reaches its filter all the same."""
    databases.migrated(settings.storage.url)
    core, other = Engine(settings, AnyProcess()), Engine(settings, AnyProcess())
    standing, released = threading.Event(), threading.Event()

    def stand_still() -> Iterator[None]:
        standing.set()
        released.wait()
        yield

    monkeypatch.setattr(core.retention, "batches", stand_still)
    works = Works(core, ANNA)
    with core.running(), contextlib.ExitStack() as until_stopped:
        until_stopped.callback(released.set)
        token = works.start("sleep 30")
        works.await_trace(token, "sleep")
        assert standing.wait(60)
        other.service.cancel(token, ANNA)
        ended = works.ended(token).state

    assert ended is JobState.CANCELED
    core.close()
    other.close()


def test_a_server_stops_although_a_sweep_has_more_to_do(core: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-R24: it ends behind the transaction that is open."""
    begun = threading.Event()

    def endless() -> Iterator[None]:
        while True:
            begun.set()
            yield

    monkeypatch.setattr(core.retention, "batches", endless)
    with core.running():
        assert begun.wait(60)

    assert not core.sweeper._thread.is_alive()


@pytest.mark.parametrize(("error", "lines"), [(StoreBusy("locked"), 0), (OSError("broken"), 2)])
def test_a_sweep_that_fails_is_not_the_last_one(
    core: Engine,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    lines: int,
) -> None:
    """F-R13: the next one comes a minute later; silent devices are looked for meanwhile. The store logs an outage."""
    sweeps = []

    def fail() -> Iterator[None]:
        sweeps.append(clock.ticks())
        raise error

    monkeypatch.setattr(core.retention, "batches", fail)
    monkeypatch.setattr(sweeper, "POLL_SECONDS", 0.01)
    with caplog.at_level(logging.INFO, "postscan"), core.running():
        until(lambda: len(sweeps) == 1)
        clock.advance(sweeper.SWEEP_SECONDS)
        until(lambda: len(sweeps) == 2)

    assert caplog.messages.count("sweep failed") == lines


def test_of_several_servers_the_leader_alone_sweeps(
    core: Engine, silent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two would do the same work; another one begins when it leads."""
    monkeypatch.setattr(sweeper, "POLL_SECONDS", 0.01)
    member, looks = Member(leads=False), threading.Semaphore(0)

    class Watched(Member):
        @property
        def is_leader(self) -> bool:
            looks.release()
            return member.is_leader

        @is_leader.setter
        def is_leader(self, _leads: bool) -> None:
            pass

    one = sweeper.Sweeper(core.store, core.uploads, core.retention, core.clock, Watched(leads=False))
    one.start()
    for _ in range(3):
        looks.acquire()
    assert states(core) == {JobState.CREATING: MANY}
    member.is_leader = True
    until(lambda: states(core)[JobState.ABORTED] == MANY, "for the sweep")
    one.stop()
