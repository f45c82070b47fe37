"""Room for images: one caller cannot take all of it, and the database always keeps some."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import databases
import pytest
from conftest import ANNA, BORIS, AnyProcess
from works import Works

from postscan.core.engine import Engine
from postscan.core.errors import SpoolFull, StoreBusy
from postscan.core.model.job import JobDocument, JobToken
from postscan.core.model.principal import Principal
from postscan.core.model.states import FilterVerb
from postscan.core.settings import Settings
from postscan.core.spool.job_log import JobLogWriter
from postscan.core.spool.quota import Quota


@pytest.fixture
def small(settings: Settings) -> Iterator[Engine]:
    """An engine that keeps 1,000 bytes of images for each caller."""
    limits = settings.limits.model_copy(update={"caller_bytes": 1000})
    settings = settings.model_copy(update={"limits": limits})
    databases.migrated(settings.storage.url)
    core = Engine(settings, AnyProcess())
    yield core
    core.close()


def test_a_callers_share_is_never_exceeded_and_others_have_theirs(small: Engine) -> None:
    """T-Q1, I5: at the limit it fits, one byte more does not, and nothing of that image is left."""
    anna, boris = Works(small, ANNA), Works(small, BORIS)
    token = anna.create("copy")
    anna.send(token, 1, b"x" * 600)
    anna.send(token, 2, b"x" * 400)

    with pytest.raises(SpoolFull, match=r"more than 1000 bytes"):
        anna.send(token, 3, b"x")
    boris.send(boris.create("copy"), 1, b"x" * 1000)

    assert anna.job(token).images_received == 2
    assert small.store.spooled_bytes(ANNA.name) == 1000
    assert sum(path.stat().st_size for path in small.settings.storage.spool_dir.glob("*/*")) == 2000


def test_images_on_their_way_count_as_well(small: Engine) -> None:
    """Many uploads at once take no more than one could."""
    anna = Works(small, ANNA)
    token = anna.create("copy")
    with small.service.open_image(token, ANNA, 1, "png") as first:
        first.write(b"x" * 700)
        with pytest.raises(SpoolFull), small.service.open_image(token, ANNA, 2, "png") as second:
            second.write(b"x" * 400)

    anna.send(token, 3, b"x" * 300)
    assert anna.job(token).images_received == 2


def test_removed_images_give_their_room_back(small: Engine) -> None:
    """A canceled job's share is free again."""
    anna = Works(small, ANNA)
    token = anna.create("copy")
    anna.send(token, 1, b"x" * 1000)
    small.service.cancel(token, ANNA)

    anna.send(anna.create("copy"), 1, b"x" * 1000)

    assert small.store.spooled_bytes(ANNA.name) == 1000


def started(core: Engine, by: Principal, image: bytes) -> tuple[JobToken, JobDocument]:
    """Make a job whose filter runs, and return it with its image."""
    works = Works(core, by)
    token = works.create("copy", "copy")
    works.send(token, 1, image)
    core.service.end(token, by)
    core.store.claim(core.clock.now(), "a holder")
    with core.store.change(token) as job:
        job.start(0, core.clock.now())
    return token, job.documents[0]


def report(core: Engine, token: JobToken, *documents: JobDocument, most: int | None = None) -> None:
    """Store that the filter of a job has ended, and which documents it has left."""
    with core.store.change(token, most_bytes=most) as job:
        job.report(0, FilterVerb.SUCCEED, core.clock.now(), documents=documents)


def made(token: JobToken, size: int) -> JobDocument:
    """Return a document that a filter made."""
    return JobDocument(2, "pdf", size, "0" * 64, f"{token}/made-2")


def test_what_filters_made_counts_until_its_job_has_ended(small: Engine) -> None:
    """I5: once, however many filters pass it on; images that they pass on count as images only."""
    token, image = started(small, ANNA, b"x" * 300)
    report(small, token, image, made(token, 600))
    with small.store.change(token) as job:
        job.start(1, small.clock.now())
        job.report(1, FilterVerb.SUCCEED, small.clock.now(), documents=(made(token, 600), image))
    anna = Works(small, ANNA)
    assert small.store.spooled_bytes(ANNA.name) == 900
    assert [one.kept for one in small.store.usages()] == [900]
    with pytest.raises(SpoolFull):
        anna.send(anna.create("copy"), 1, b"x" * 101)
    anna.send(anna.create("copy"), 1, b"x" * 100)

    with small.store.change(token) as job:
        job.finish(small.clock.now())

    assert small.store.spooled_bytes(ANNA.name) == 400


@pytest.mark.parametrize(("size", "fits"), [(700, True), (701, False)])
def test_what_filters_made_is_counted_again_when_it_is_stored(small: Engine, size: int, fits: bool) -> None:
    """T-Q1: at the share it is stored, one byte above it nothing is."""
    token, image = started(small, ANNA, b"x" * 300)
    with contextlib.nullcontext() if fits else pytest.raises(SpoolFull, match="more than 1000 bytes"):
        report(small, token, image, made(token, size), most=1000)

    assert small.store.spooled_bytes(ANNA.name) == (300 + size if fits else 300)


MIB = 1 << 20


@pytest.fixture
def shares(settings: Settings) -> Iterator[tuple[Engine, Quota]]:
    """An engine of which each caller has 4 MiB, and its quota; Anna has 1,000 bytes of images."""
    settings = settings.model_copy(update={"limits": settings.limits.model_copy(update={"caller_bytes": 4 * MIB})})
    databases.migrated(settings.storage.url)
    core = Engine(settings, AnyProcess())
    anna = Works(core, ANNA)
    anna.send(anna.create("copy"), 1, b"x" * 1000)
    yield core, Quota(settings, core.store, core.spool)
    core.close()


def test_the_folder_of_a_run_may_take_what_is_left_of_the_share_and_no_byte_more(shares: tuple[Engine, Quota]) -> None:
    """T-Q1: it is given up then, and not the folder of another caller."""
    _core, quota = shares
    with quota.folder(ANNA.name) as mine, quota.folder(BORIS.name) as others:
        assert others.count(4 * MIB) == ""
        assert mine.count(4 * MIB - 1000) == ""
        assert mine.count(4 * MIB - 999) == (
            f"the documents of {ANNA.name} and the folders of its filters took more than {4 * MIB} bytes"
        )


def test_only_the_largest_folder_of_a_caller_is_given_up(shares: tuple[Engine, Quota]) -> None:
    """The others may go on with what it gives back."""
    _core, quota = shares
    with quota.folder(ANNA.name) as small, quota.folder(ANNA.name) as large:
        large.count(3 * MIB)
        assert small.count(2 * MIB) == ""
        assert large.count(3 * MIB) != ""


@pytest.mark.parametrize(("size", "counts"), [(MIB - 1, False), (MIB, True)])
def test_a_folder_below_a_mebibyte_does_not_count(shares: tuple[Engine, Quota], size: int, counts: bool) -> None:
    """A filter needs a little room for itself, also for the job that has filled the share."""
    core, quota = shares
    anna = Works(core, ANNA)
    anna.send(anna.create("copy"), 1, b"x" * (4 * MIB - 1000))
    with quota.folder(ANNA.name) as folder:
        assert bool(folder.count(size)) is counts


def test_images_have_what_folders_leave_of_the_share(shares: tuple[Engine, Quota]) -> None:
    """T-Q1: until the run has ended; a reservation that was opened before counts it as well."""
    _core, quota = shares
    room = quota.open(ANNA.name)
    with quota.folder(ANNA.name) as folder:
        folder.count(3 * MIB)
        room.reserve(MIB - 1000)
        for _ in range(2):
            with pytest.raises(SpoolFull, match="more than"):
                room.reserve(1)
        with pytest.raises(SpoolFull, match="more than"):
            quota.open(ANNA.name)
    room.reserve(3 * MIB)
    room.release()


def test_a_database_that_does_not_answer_stops_no_run(
    shares: tuple[Engine, Quota], monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-R13: what its owner has is not known then; the next check will tell."""
    core, quota = shares

    def unavailable(_owner: str | None = None) -> int:
        raise StoreBusy("locked")

    monkeypatch.setattr(core.store, "spooled_bytes", unavailable)
    with quota.folder(ANNA.name) as folder:
        assert folder.count(5 * MIB) == ""


def test_a_reserve_is_left_on_the_disk(settings: Settings) -> None:
    """F-R10: images stop before the disk is full; the job, its cancel and its questions go on."""
    storage = settings.storage.model_copy(update={"reserve_bytes": 1 << 60})
    settings = settings.model_copy(update={"storage": storage})
    databases.migrated(settings.storage.url)
    core = Engine(settings, AnyProcess())
    anna = Works(core, ANNA)
    token = anna.create("copy")

    with pytest.raises(SpoolFull, match="disk has less than"):
        anna.send(token)

    assert anna.job(token).images_received == 0
    core.service.cancel(token, ANNA)
    core.close()


def test_the_logs_of_a_callers_jobs_are_part_of_the_share(small: Engine) -> None:
    """T-Q1, I5: a caller cannot fill the disk with what filters log; a removed log gives its room back."""
    anna, boris = Works(small, ANNA), Works(small, BORIS)
    token = anna.create("copy")
    writer = JobLogWriter(small.spool.logs, token, ANNA.name, 0, 1, small.clock, 0)
    writer.append("info", "x" * 800)
    writer.close()
    left = 1000 - small.spool.logs.bytes_of(ANNA.name)

    with pytest.raises(SpoolFull):
        anna.send(token, 1, b"x" * (left + 1))
    boris.send(boris.create("copy"), 1, b"x" * 1000)
    small.spool.logs.remove(token)
    anna.send(token, 1, b"x" * 1000)

    assert 0 < left < 200
    assert anna.job(token).images_received == 1
