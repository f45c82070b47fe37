"""Stopping, starting and being killed: no job is lost, none runs twice at once."""

from __future__ import annotations

import pytest
from conftest import ANNA, AnyProcess
from works import Works

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
        token = works.start("copy", "sleep 1.5")
        works.await_trace(token, "sleep")
    left = works.job(token)
    assert left.state is JobState.PROCESSING
    assert [step.state for step in left.steps] == [FilterState.SUCCEEDED, FilterState.PROCESSING]

    again = Engine(core.settings, AnyProcess())
    with again.running():
        job = Works(again, ANNA).ended(token)
    again.close()

    assert job.state is JobState.COMPLETED
    assert job.steps[1].attempt == 2
    assert [line[0] for line in works.trace(token)] == ["copy", "sleep", "sleep", "slept"]
    assert len(works.delivered()) == 1


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
