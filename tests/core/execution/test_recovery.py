"""Stopping, starting and being killed: no job is lost, none runs twice at once."""

from __future__ import annotations

import contextlib

import pytest
from conftest import ANNA, AnyProcess
from works import Works, until

from postscan.core.engine import Engine
from postscan.core.errors import SettingsError
from postscan.core.model.states import FilterState, JobState
from postscan.core.settings import Settings


def test_a_stopping_server_puts_running_jobs_down_and_the_next_one_takes_them_up(core: Engine) -> None:
    """O-29, promise 10: the filter that was interrupted runs again, those that had ended do not."""
    drain = core.settings.server.model_copy(update={"drain_seconds": 0.1})
    core.settings = core.settings.model_copy(update={"server": drain})
    works = Works(core, ANNA)
    with core.running():
        token = works.start("copy", "sleep until woken")
        works.await_trace(token, "sleep")
    left = works.job(token)
    assert left.state is JobState.PROCESSING
    assert [step.state for step in left.steps] == [FilterState.SUCCEEDED, FilterState.PROCESSING]

    works.wake(token)
    again = Engine(core.settings, AnyProcess())
    with again.running():
        job = Works(again, ANNA).ended(token)
    again.close()

    assert job.state is JobState.COMPLETED
    assert job.steps[1].attempt == 2
    assert [line[0] for line in works.trace(token)] == ["copy", "sleep", "sleep", "slept"]
    assert len(works.delivered()) == 1


def test_an_orderly_stop_is_no_crash_however_often_the_server_is_restarted(core: Engine) -> None:
    """D13: a long job outlives any number of restarts; the number of its run only grows."""
    drain = core.settings.server.model_copy(update={"drain_seconds": 0.0})
    settings = core.settings.model_copy(update={"server": drain})
    works = Works(core, ANNA)
    token = works.start("sleep 30")
    for number in range(1, 5):
        with contextlib.closing(Engine(settings, AnyProcess())) as again, again.running():
            until(lambda number=number: len(works.trace(token)) == number, "for the filter to run")
        step = works.job(token).steps[0]
        assert (step.state, step.attempt, step.crashes) == (FilterState.PROCESSING, number, 0)


@pytest.mark.parametrize(("killed", "state"), [(2, JobState.COMPLETED), (3, JobState.ABORTED)])
def test_three_runs_that_ended_with_their_server_are_the_limit(core: Engine, killed: int, state: JobState) -> None:
    """D13, I24, F-R26: a job that kills its server each time is given up."""
    works = Works(core, ANNA)
    token = works.start("copy")
    left_by_killed_servers(core, token, killed)

    with core.running():
        job = works.ended(token)

    assert (job.state, job.steps[0].crashes) == (state, killed)
    assert len(works.trace(token)) == (state is JobState.COMPLETED)


def test_crashes_of_the_worker_and_of_the_server_count_together(core: Engine) -> None:
    """D13, I24: one of the server, and two of the worker."""
    works = Works(core, ANNA)
    token = works.start("die 99")
    left_by_killed_servers(core, token, 1)

    with core.running():
        job = works.ended(token)

    assert (job.state, job.steps[0].crashes) == (JobState.ABORTED, 3)
    assert len(works.trace(token)) == 2


def left_by_killed_servers(core: Engine, token: str, times: int) -> None:
    """Let the first filter of a pending job begin so many times, and never end."""
    assert core.store.claim(core.clock.now(), "a holder")
    for _ in range(times):
        with core.store.change(token) as job:
            job.start(0, core.clock.now())


def test_a_job_that_was_cancelled_while_no_server_ran_ends_canceled_at_the_next_start(core: Engine) -> None:
    """F-R23: a stored cancel is kept, and no filter starts again."""
    drain = core.settings.server.model_copy(update={"drain_seconds": 0.1})
    core.settings = core.settings.model_copy(update={"server": drain})
    works = Works(core, ANNA)
    with core.running():
        token = works.start("sleep 30")
        works.await_trace(token, "sleep")
    assert works.service.cancel(token, ANNA).state is JobState.TERMINATING

    again = Engine(core.settings, AnyProcess())
    with again.running():
        job = Works(again, ANNA).ended(token)
    again.close()

    assert job.state is JobState.CANCELED
    assert len(works.trace(token)) == 1


def test_a_cancel_made_by_another_process_reaches_the_running_filter(core: Engine, settings: Settings) -> None:
    """Ruling 16: it comes through the database, and is seen at the next look."""
    works = Works(core, ANNA)
    with core.running():
        token = works.start("sleep 30")
        works.await_trace(token, "sleep")
        elsewhere = Engine(settings, AnyProcess())
        elsewhere.service.cancel(token, ANNA)
        elsewhere.close()

        assert works.ended(token).state is JobState.CANCELED


def test_two_servers_never_share_their_data(core: Engine, settings: Settings) -> None:
    """F-R24: the second one refuses to start, and says why."""
    second = Engine(settings, AnyProcess())
    with core.running(), pytest.raises(SettingsError, match="another postscan server"), second.running():
        pass
    second.close()


def test_half_written_images_of_a_killed_server_are_swept_at_the_start(core: Engine) -> None:
    """I4."""
    folder = core.settings.storage.spool_dir / "some-job"
    folder.mkdir()
    (folder / "1-aaaa.part").write_bytes(b"half")

    with core.running():
        assert not folder.exists()
