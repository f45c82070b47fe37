"""The spool and the rows after a crash, a restore or a careless hand: F-R28 and I4."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import ANNA, AnyProcess
from works import Works

from postscan.core.engine import Engine
from postscan.core.errors import SpoolFull
from postscan.core.model.job import JobDocument, JobToken
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.states import FilterVerb, JobReason, JobState
from postscan.core.settings import Settings
from postscan.core.spool import recovery
from postscan.core.spool.image_store import lock
from postscan.core.spool.image_store.folder_spool import FolderSpool
from postscan.core.store.schema import USAGE

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)


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


def test_an_upload_that_ended_with_its_server_is_removed_and_whole_images_stay(stopped: Works) -> None:
    """I4: it was never acknowledged."""
    token = stopped.create("copy")
    image = stopped.send(token)
    half = stray(stopped, f"{token}/2-abcd.part")

    with stopped.core.running():
        pass

    assert not half.exists()
    assert file_of(stopped, token).read_bytes() == image
    assert aside(stopped) == {}


def test_wrong_sums_of_the_bytes_of_callers_are_corrected(stopped: Works, caplog: pytest.LogCaptureFixture) -> None:
    """I5: after a manual change of the database, for example."""
    image = stopped.send(stopped.create("copy"))
    with stopped.core.store.writing() as db:
        db.execute(sa.update(USAGE).values(kept_bytes=10**9))

    with caplog.at_level(logging.WARNING), stopped.core.running():
        pass

    assert stopped.core.store.spooled_bytes(ANNA.name) == len(image)
    assert [one.__dict__["user"] for one in caplog.records if "user" in one.__dict__] == [ANNA.name]


def test_each_page_of_files_is_compared(stopped: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """I4: a page may begin within the folder of a job, which may be an ended one."""
    monkeypatch.setattr(recovery, "PAGE", 2)
    tokens = [stopped.create("copy") for _ in range(3)]
    for token in tokens:
        for document in (1, 2, 3):
            stopped.send(token, document)
        stray(stopped, f"{token}/4-aaaa")
    with stopped.core.store.change(tokens[0]) as job:
        job.fail(JobReason.PROCESSING_FAILED, stopped.core.clock.now())

    recovery.reconcile(stopped.core.store, stopped.core.spool, stopped.core.clock)

    assert sorted(aside(stopped)) == sorted(f"{token}/4-aaaa" for token in tokens)
    assert {stopped.job(token).state for token in tokens} == {JobState.ABORTED, JobState.CREATING}
    assert len(list(stopped.core.spool.files())) == 9


def test_a_file_that_a_filter_made_and_that_no_row_knows_is_removed(stopped: Works) -> None:
    """I4: its filter runs again; what it made of a scan is kept nowhere."""
    path = stray(stopped, "11112222-0000-4000-8000-000000000000/made-1-aaaa")

    with stopped.core.running():
        pass

    assert not path.parent.exists()
    assert aside(stopped) == {}


def test_a_job_that_is_released_while_a_server_starts_keeps_its_images(stopped: Works) -> None:
    """I1: its links are as old as its images, and have no row for a moment."""
    core = stopped.core
    token = stopped.create("copy")
    image = stopped.send(token)
    old = file_of(stopped, token)
    os.utime(old, (time.time() - 60, time.time() - 60))
    with core.store.change(token) as job:
        job.expire(core.clock.now())
    starts = threading.Thread(target=lambda: recovery.reconcile(core.store, core.spool, core.clock))
    with contextlib.closing(Engine(core.settings, AnyProcess())) as command:
        insert = command.store.insert

        def slowly(*job: Any, **options: Any) -> None:
            starts.start()
            starts.join(0.5)  # it waits for this command
            insert(*job, **options)

        command.store.insert = slowly  # type: ignore[method-assign]
        released = command.service.release(token, ADMIN)
    starts.join()

    assert file_of(stopped, released).read_bytes() == image
    assert stopped.job(released).state is JobState.PENDING
    assert aside(stopped) == {}


def test_a_server_does_not_wait_for_ever_for_a_command(stopped: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the folder; a command that hangs can be found and ended."""
    monkeypatch.setattr(lock, "LOCK_SECONDS", 0.1)
    with FolderSpool(stopped.core.settings.storage.spool_dir).lock.adding():
        with stopped.core.spool.lock.adding():
            pass
        with pytest.raises(SpoolFull, match="in use by another process"), stopped.core.running():
            pass


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


def test_a_job_that_lost_a_file_leaves_nothing_that_its_filters_made(stopped: Works) -> None:
    """An aborted job keeps what the device sent, and only that."""
    token = stopped.create("copy", "copy")
    for number in (1, 2):
        stopped.send(token, number)
    stopped.service.end(token, ANNA)
    stopped.core.store.claim(stopped.core.clock.now(), "a holder")
    made = made_document(stopped, token)
    file_of(stopped, token).unlink()

    with stopped.core.running():
        assert stopped.job(token).state is JobState.ABORTED

    assert not stopped.core.spool.path(made).exists()
    assert stopped.core.spool.path(stopped.job(token).documents[1]).exists()


def made_document(works: Works, token: JobToken) -> JobDocument:
    """Return a document that the first filter of a claimed job has made."""
    with works.core.spool.open_image(token, 3, "pdf", 1000, made=True) as writer:
        writer.write(b"made")
    with works.core.store.change(token) as job:
        job.start(0, works.core.clock.now())
        job.report(0, FilterVerb.SUCCEED, works.core.clock.now(), documents=(writer.document,))
    return writer.document


def test_a_held_job_that_lost_its_file_is_aborted(stopped: Works) -> None:
    """F-R28: also a job that nothing would touch for days."""
    stopped.send(stopped.create("copy"))
    token = stopped.start("copy")
    stopped.service.hold(token, ADMIN)
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


def test_the_logs_of_jobs_are_counted_and_those_of_deleted_jobs_removed(
    stopped: Works, caplog: pytest.LogCaptureFixture
) -> None:
    """I4, I5: a log is no lost scan; the server may have died when the row of its job was deleted, and it was not."""
    token = stopped.create("copy")
    stopped.send(token)
    log = stray(stopped, f"logs/{token}", b'{"at":"half a line')
    left = stray(stopped, "logs/11112222-0000-4000-8000-000000000000")
    unknown = stray(stopped, "logs/of no job")

    with caplog.at_level(logging.WARNING), stopped.core.running():
        counted = stopped.core.spool.logs.bytes_of(ANNA.name)

    assert (log.exists(), left.exists(), unknown.exists()) == (True, False, True)
    assert counted == log.stat().st_size
    assert aside(stopped) == {}
    assert [one.message for one in caplog.records if "file" in one.message] == []
