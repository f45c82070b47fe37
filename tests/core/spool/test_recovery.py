"""The spool and the rows after a crash, a restore or a careless hand: F-R28 and I4."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path

import pytest
from conftest import ANNA, AnyProcess
from works import Works

from postscan.core.engine import Engine
from postscan.core.model.states import JobReason, JobState
from postscan.core.settings import Settings


@pytest.fixture
def stopped(core: Engine) -> Works:
    """An engine that is not running."""
    return Works(core, ANNA)


def file_of(works: Works, token: str) -> Path:
    """Return where the job's first image lies."""
    return works.core.spool.path(works.job(token).documents[0])


def stray(works: Works, key: str, data: bytes = b"somebody's scan") -> Path:
    """Leave a file in the spool that no row knows, a while ago."""
    path = works.core.settings.storage.spool_dir / key
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (time.time() - 60, time.time() - 60))
    return path


def aside(works: Works) -> dict[str, bytes]:
    """Return what was put aside: names and bytes."""
    folder = works.core.settings.storage.spool_dir / "lost+found"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_that_no_row_knows_is_put_aside_and_told(stopped: Works, caplog: pytest.LogCaptureFixture) -> None:
    """F-R28: unknown files are never deleted; the empty folder that they leave is."""
    path = stray(stopped, "11112222-0000-4000-8000-000000000000/1-aaaa")

    with caplog.at_level(logging.WARNING), stopped.core.running():
        pass

    assert not path.parent.exists()
    assert aside(stopped) == {"11112222-0000-4000-8000-000000000000/1-aaaa": b"somebody's scan"}
    assert [(one.message, one.__dict__["file"]) for one in caplog.records if "file" in one.__dict__] == [
        ("file without a job quarantined", "11112222-0000-4000-8000-000000000000/1-aaaa")
    ]


def test_what_was_put_aside_before_is_neither_moved_again_nor_replaced(stopped: Works) -> None:
    """F-R28: two strays of one name are both kept."""
    for data in (b"first", b"second"):
        stray(stopped, "11112222-0000-4000-8000-000000000000/1-aaaa", data)
        with contextlib.closing(Engine(stopped.core.settings, AnyProcess())) as core, core.running():
            pass

    assert sorted(aside(stopped).values()) == [b"first", b"second"]


def test_a_file_beside_the_jobs_folders_is_put_aside_too(stopped: Works) -> None:
    """F-R28: whoever left it there will find it again."""
    stray(stopped, "notes.txt")

    with stopped.core.running():
        pass

    assert aside(stopped) == {"notes.txt": b"somebody's scan"}


def test_a_file_that_is_younger_than_the_start_stays(stopped: Works) -> None:
    """I4: it may belong to a request that is being answered."""
    path = stray(stopped, "11112222-0000-4000-8000-000000000000/1-aaaa")
    os.utime(path, (time.time() + 60, time.time() + 60))

    with stopped.core.running():
        pass

    assert path.exists()


def test_the_files_of_ended_and_of_open_jobs_stay_where_they_are(stopped: Works) -> None:
    """I1, I4: a row knows them."""
    with stopped.core.running():
        done = stopped.start("copy")
        stopped.ended(done)
    waiting = stopped.create("copy")
    image = stopped.send(waiting)

    with contextlib.closing(Engine(stopped.core.settings, AnyProcess())) as again, again.running():
        pass

    assert file_of(stopped, done).exists()
    assert file_of(stopped, waiting).read_bytes() == image
    assert aside(stopped) == {}


@pytest.mark.parametrize("ended", [False, True], ids=["creating", "pending"])
@pytest.mark.parametrize("damage", ["missing", "shorter"])
def test_an_open_job_that_lost_a_file_is_aborted_and_the_others_are_served(
    stopped: Works, caplog: pytest.LogCaptureFixture, ended: bool, damage: str
) -> None:
    """F-R28: healthy jobs are not affected."""
    hurt, healthy = stopped.create("copy"), stopped.create("copy")
    for token in (hurt, healthy):
        stopped.send(token)
    for token in (hurt, healthy) if ended else (healthy,):
        stopped.service.end(token, ANNA)
    if damage == "missing":
        file_of(stopped, hurt).unlink()
    else:
        file_of(stopped, hurt).write_bytes(b"short")

    with caplog.at_level(logging.ERROR), stopped.core.running():
        assert stopped.ended(healthy).state is JobState.COMPLETED

    job = stopped.job(hurt)
    assert (job.state, job.reasons) == (JobState.ABORTED, (JobReason.PROCESSING_FAILED,))
    [line] = [one for one in caplog.records if one.message == "job aborted: spool file damaged"]
    assert line.__dict__["job"] == hurt
    assert line.__dict__["reason"].startswith(job.documents[0].blob)
    assert len(stopped.delivered()) == 1


def test_a_held_job_that_lost_its_file_is_aborted(stopped: Works) -> None:
    """F-R28: also a job that nothing would touch for days."""
    token = stopped.start("copy")
    stopped.service.hold(token, ANNA)
    file_of(stopped, token).unlink()

    with stopped.core.running():
        assert stopped.job(token).state is JobState.ABORTED


def test_an_ended_job_without_its_file_stays_as_it_ended(stopped: Works) -> None:
    """I7: a cancelled job's images are gone on purpose."""
    token = stopped.create("copy")
    stopped.send(token)
    stopped.service.cancel(token, ANNA)

    with stopped.core.running():
        assert stopped.job(token).state is JobState.CANCELED


def test_a_cancelled_running_job_that_lost_its_file_ends_canceled(core: Engine, settings: Settings) -> None:
    """I11: the acknowledged cancel outweighs the lost file."""
    drain = settings.server.model_copy(update={"drain_seconds": 0.1})
    core.settings = settings.model_copy(update={"server": drain})
    works = Works(core, ANNA)
    with core.running():
        token = works.start("sleep 30")
        works.await_trace(token, "sleep")
    works.service.cancel(token, ANNA)
    file_of(works, token).unlink()

    again = Engine(core.settings, AnyProcess())
    with again.running():
        job = Works(again, ANNA).ended(token)
    again.close()

    assert job.state is JobState.CANCELED
