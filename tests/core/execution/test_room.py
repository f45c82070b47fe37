"""A machine that cannot run a filter now: the job waits, nothing counts as a crash, and a cancel ends it."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

import databases
import pytest
from conftest import ANNA, AnyProcess
from destinations import small_disk
from works import Works, until

from postscan.core.engine import Engine
from postscan.core.execution import pipeline
from postscan.core.model.states import JobState
from postscan.core.settings import Settings
from postscan.core.workers.work_folder import WorkFolders

MIB = 1 << 20


@pytest.fixture
def works(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Works]:
    """A running engine whose runs have a small disk of their own, and which looks often whether it has room."""
    monkeypatch.setattr(pipeline, "ROOM_SECONDS", 0.05)
    run_dir = settings.storage.run_dir
    run_dir.mkdir(parents=True)
    databases.migrated(settings.storage.url)
    with small_disk(run_dir, 4 * MIB), contextlib.closing(Engine(settings, AnyProcess())) as core, core.running():
        yield Works(core, ANNA)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A list that grows with each look whether there is room."""
    found: list[float] = []
    check_room = WorkFolders.check_room

    def look(folders: WorkFolders) -> None:
        found.append(time.monotonic())
        check_room(folders)

    monkeypatch.setattr(WorkFolders, "check_room", look)
    return found


@contextlib.contextmanager
def full(works: Works) -> Iterator[None]:
    """Let another program take the disk of the runs while the body runs."""
    taken = works.core.settings.storage.run_dir / "taken"
    with contextlib.suppress(OSError):
        taken.write_bytes(bytes(8 * MIB))
    yield
    taken.unlink()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the jobs of which the log says that they wait."""
    return [vars(one)["job"] for one in list(caplog.records) if one.getMessage() == "job waits for this machine"]


def test_a_filter_begins_when_its_machine_has_room_and_no_attempt_is_counted_before(
    works: Works, looks: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """F-R10, F-R27: a full disk under `run/` costs no job, however long it is full; the log has one line."""
    with caplog.at_level(logging.WARNING), full(works):
        token = works.start("copy")
        until(lambda: lines(caplog), "for the job to wait")
        until(lambda: len(looks) > 5, "for the pipeline to look again")
        waiting = works.job(token)
    ended = works.ended(token)

    assert (waiting.state, waiting.steps[0].attempt) == (JobState.STARTED, 0)
    assert (ended.state, ended.steps[0].attempt, ended.steps[0].crashes) == (JobState.COMPLETED, 1, 0)
    assert len(works.delivered()) == 1
    assert lines(caplog) == [token]


def test_a_cancel_ends_a_job_that_waits_for_its_machine(works: Works, caplog: pytest.LogCaptureFixture) -> None:
    """I11, I14: nothing of it runs."""
    with caplog.at_level(logging.WARNING), full(works):
        token = works.start("copy")
        until(lambda: lines(caplog), "for the job to wait")
        works.service.cancel(token, ANNA)
        ended = works.ended(token)

    assert ended.state is JobState.CANCELED
    assert works.trace(token) == []


def test_a_filter_whose_room_others_have_taken_runs_again_when_there_is_room(
    works: Works, caplog: pytest.LogCaptureFixture
) -> None:
    """F-R10: one filter that fills the disk does not end the jobs of others."""
    token = works.start("turn pause add:1", "copy")
    works.await_trace(token, "pausing")
    with caplog.at_level(logging.WARNING), full(works):
        (works.out / "go").touch()
        until(lambda: lines(caplog), "for the job to wait")
    ended = works.ended(token)

    assert (ended.state, ended.steps[0].attempt, ended.steps[0].crashes) == (JobState.COMPLETED, 2, 1)
    assert len([name for name in works.delivered() if name != "go"]) == 2


def test_a_server_stops_while_a_job_waits_for_its_machine_and_the_next_one_runs_it(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The wait ends with the server, and is no crash."""
    settings.storage.run_dir.mkdir(parents=True)
    databases.migrated(settings.storage.url)
    quick = settings.model_copy(update={"server": settings.server.model_copy(update={"drain_seconds": 0.1})})
    with small_disk(settings.storage.run_dir, 4 * MIB):
        with contextlib.closing(Engine(quick, AnyProcess())) as core:
            works = Works(core, ANNA)
            with caplog.at_level(logging.WARNING), core.running(), full(works):
                token = works.start("copy")
                until(lambda: lines(caplog), "for the job to wait")
                core.scheduler.stop(0.1)
        with contextlib.closing(Engine(quick, AnyProcess())) as again, again.running():
            job = Works(again, ANNA).ended(token)

    assert (job.state, job.steps[0].attempt, job.steps[0].crashes) == (JobState.COMPLETED, 1, 0)
