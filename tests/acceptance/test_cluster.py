"""Workers on one database: a killed one, one that stands still, a cancel of another process."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import databases
import postgres
import pytest
from acceptance.server import Server
from conftest import ANNA
from members import Cluster, Worker, cluster
from works import PATIENCE, until

from postscan.core.cluster.job_locks import ENDED_SECONDS, RECONNECT_SECONDS
from postscan.core.model.states import JobState

pytestmark = pytest.mark.services

LEASE = 8.0


@pytest.fixture
def two(tmp_path: Path, postgres_url: str) -> Iterator[Cluster]:
    """Two workers."""
    with cluster(tmp_path, postgres_url, 2, cluster={"lease_seconds": LEASE}, running={"grace_seconds": 0.5}) as made:
        yield made


def test_a_cancel_reaches_the_filter_in_another_process(two: Cluster) -> None:
    """It is stored by one process; the holder of the job stops the filter, and the first one answers that it has."""
    token = two.works.start("sleep until woken")
    two.works.await_trace(token, "sleep")

    two.works.service.cancel(token, ANNA)

    assert two.works.ended(token).state is JobState.CANCELED
    assert [line[0] for line in two.works.trace(token)] == ["sleep"]


def test_the_job_of_a_killed_worker_runs_again_elsewhere(two: Cluster) -> None:
    """Its turn and its attempt grow; a killed worker is a crash of its filter."""
    token = two.works.start("sleep until woken", "copy")
    two.works.await_trace(token, "sleep")
    time.sleep(RECONNECT_SECONDS)  # nobody judges others before that
    killed = two.holder(token)
    begun = time.monotonic()

    killed.end(signal.SIGKILL)

    until(lambda: len(two.works.trace(token)) == 2, "for the next run")
    taken_over = time.monotonic() - begun
    two.works.wake(token)
    job = two.works.ended(token)
    assert (job.state, job.turn, job.steps[0].attempt, job.steps[0].crashes) == (JobState.COMPLETED, 2, 2, 1)
    assert len(two.works.delivered()) == 1
    print(f"from the kill to the filter: {taken_over:.2f} s")


def test_a_worker_that_stood_still_changes_nothing_when_it_goes_on(two: Cluster) -> None:
    """The other one resumed its job behind its lease; its filter had ended meanwhile, and reports late."""
    token = two.works.start("sleep until woken", "copy")
    two.works.await_trace(token, "sleep")
    stopped = two.holder(token)
    stopped.send(signal.SIGSTOP)
    until(lambda: len(two.works.trace(token)) == 2, "for the next run")

    two.works.wake(token)  # both filters end
    job = two.works.ended(token)
    stopped.send(signal.SIGCONT)
    until(lambda: "run of a job dropped" in stopped.log.read_text(), "for the late run to be refused")

    again = two.works.job(token)
    assert (job.state, job.turn, job.steps[0].attempt) == (JobState.COMPLETED, 2, 2)
    assert again == job
    assert len(two.works.delivered()) == 1


def test_a_worker_that_is_stopped_leaves_its_job_to_the_other_at_once(two: Cluster) -> None:
    """Its run is suspended, which is no crash."""
    token = two.works.start("sleep until woken")
    two.works.await_trace(token, "sleep")

    assert two.holder(token).end(signal.SIGTERM) == 0

    until(lambda: len(two.works.trace(token)) == 2, "for the next run")
    two.works.wake(token)
    job = two.works.ended(token)
    assert (job.state, job.steps[0].attempt, job.steps[0].crashes) == (JobState.COMPLETED, 2, 0)


def test_nobody_is_overtaken_when_the_database_is_away(tmp_path: Path) -> None:
    """Filters run on, and end once: longer than a member that has ended is silent, and shorter than a lease."""
    with contextlib.ExitStack() as ends:
        server = ends.enter_context(postgres.running())
        url = databases.create(server.url, "cluster", with_tables=True)
        two = ends.enter_context(cluster(tmp_path, url, 2))
        tokens = [two.works.start("sleep until woken", "copy") for _ in range(4)]
        for token in tokens:
            two.works.await_trace(token, "sleep")

        server.stop()
        time.sleep(ENDED_SECONDS + RECONNECT_SECONDS)
        server.start()
        until(lambda: all("member connected again" in one.log.read_text() for one in two.workers), "for both")
        time.sleep(RECONNECT_SECONDS + ENDED_SECONDS)  # from here on they may judge each other
        for token in tokens:
            two.works.wake(token)
        jobs = [two.works.ended(token) for token in tokens]

    assert [(job.state, job.turn) for job in jobs] == [(JobState.COMPLETED, 1)] * 4
    assert [step.attempt for job in jobs for step in job.steps] == [1] * 8
    assert len(two.works.delivered()) == 4


def test_a_worker_goes_on_with_the_jobs_of_a_killed_server(tmp_path: Path, postgres_url: str) -> None:
    """The server starts again beside it, and removes nothing of it."""
    home, beside = tmp_path / "server", tmp_path / "worker"
    (beside / "data").mkdir(parents=True)
    home.mkdir()
    shared = {"database": postgres_url}
    several = {"members": "several"}
    server = Server(
        home,
        {
            "storage": {"data_dir": "data"} | shared,
            "cluster": several | {"name": "server"},
            "processes": {"lenient": True},
        },
    )
    (beside / "data" / "spool").symlink_to(home / "data" / "spool")
    worker = Worker(
        beside,
        {
            "storage": {"data_dir": str(beside / "data")} | shared,
            "cluster": several | {"name": "worker"},
            "plugins": {"disabled": list(server.settings.plugins.disabled), "probe_seconds": PATIENCE},
            "filters": {"acme": {"folder": str(server.out)}},
        },
    )
    with contextlib.closing(server):
        server.start()
        works = server.works
        token = works.start("sleep until woken")
        works.await_trace(token, "sleep")
        worker.start()
        time.sleep(RECONNECT_SECONDS)

        server.kill()
        until(lambda: len(works.trace(token)) == 2, "for the worker")
        server.start()
        works.wake(token)
        job = works.ended(token)
        names = [one.member.name for one in works.core.store.members()]
        worker.end()

    assert (job.state, job.turn, job.steps[0].attempt) == (JobState.COMPLETED, 2, 2)
    assert sorted(names) == ["server", "server", "worker"]  # the row of the killed one stays for a day
