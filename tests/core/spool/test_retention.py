"""What is let go of, and what is not; and how an administrator takes up what a device abandoned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import databases
import pytest
from conftest import ANNA, AnyProcess
from works import SID, Works, instructions

from postscan.core.engine import Engine
from postscan.core.errors import JobNotFound, WrongState
from postscan.core.model.job import JobDocument, JobToken
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.records import RequestKey
from postscan.core.model.states import FilterVerb, JobReason, JobState
from postscan.core.settings import Settings
from postscan.core.spool.job_log import JobLogWriter
from postscan.core.store.database import pages
from postscan.plugins.testing.runner import FakeClock

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
HOUR = 3600.0


@pytest.fixture
def core(settings: Settings, clock: FakeClock) -> Iterator[Engine]:
    """An engine that is not running, on a clock of the test's; it keeps 2 jobs however old, and 5,000 bytes."""
    retention = settings.retention.model_copy(update={"jobs": 2, "image_bytes": 5000, "image_hours": 10.0})
    settings = settings.model_copy(update={"retention": retention})
    databases.migrated(settings.storage.url)
    core = Engine(settings, AnyProcess(), clock)
    yield core
    core.close()


def ended(core: Engine, size: int = 1000, *, failed: bool = False, made: bool = False) -> JobToken:
    """Make a job with one image that has ended, of which its filter may have made another; let the sweep see it."""
    works = Works(core, ANNA)
    token = works.create("copy")
    works.send(token, 1, b"x" * size)
    core.service.end(token, ANNA)
    core.store.claim(core.clock.now(), "a holder")
    documents = (made_document(core, token),) if made else None
    with core.store.change(token) as job:
        job.start(0, core.clock.now())
        verb = FilterVerb.FAIL if failed else FilterVerb.SUCCEED
        job.report(0, verb, core.clock.now(), documents=documents)
        if failed:
            job.fail(JobReason.PROCESSING_FAILED, core.clock.now())
        else:
            job.finish(core.clock.now())
    core.retention.sweep()
    return token


def made_document(core: Engine, token: JobToken) -> JobDocument:
    """Return a document that a filter made, in the spool."""
    with core.spool.open_image(token, 2, "pdf", 1000, made=True) as writer:
        writer.write(b"made")
    return writer.document


def kept(core: Engine, token: str) -> bool:
    """Return whether the images of a job are on the disk; its row says the same."""
    job = core.service.job(token, ANNA)
    there = [core.spool.path(document).exists() for document in job.documents]
    assert there == [job.images_kept] * len(there)
    return job.images_kept


def test_images_of_completed_jobs_go_after_their_time(core: Engine, clock: FakeClock) -> None:
    """D15: not before; the job itself can still be asked for."""
    token = ended(core)
    clock.advance(9 * HOUR)
    core.retention.sweep()
    assert kept(core, token)

    clock.advance(2 * HOUR)
    core.retention.sweep()

    assert not kept(core, token)


def test_what_filters_made_goes_with_the_images_if_it_is_still_there(core: Engine, clock: FakeClock) -> None:
    """D15: a server that was killed at the end of a job may have left it."""
    token = ended(core, made=True)
    assert len(list(core.spool.files())) == 2

    clock.advance(11 * HOUR)
    core.retention.sweep()

    assert list(core.spool.files()) == []
    assert not kept(core, token)


def test_the_oldest_images_go_when_they_are_too_many(core: Engine, clock: FakeClock) -> None:
    """D15: the budget is in bytes."""
    tokens = []
    for _ in range(6):
        tokens.append(ended(core))
        clock.advance(1)
    core.retention.sweep()

    assert [kept(core, token) for token in tokens] == [False, True, True, True, True, True]


@pytest.mark.parametrize(("over", "removed"), [(0, 0), (1, 1), (1001, 2), (4000, 4)])
def test_the_budget_of_images_is_kept_with_more_jobs_than_one_query_returns(
    core: Engine, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, over: int, removed: int
) -> None:
    """D15, T-Q4: at the budget nothing goes, one byte above it the oldest image does; in one sweep."""
    monkeypatch.setattr(pages, "PAGE", 2)
    tokens = []
    for size in (1000, 1000, 1000, 1000, 1000, over):
        if size:
            tokens.append(ended(core, size))
        clock.advance(1)

    assert [kept(core, token) for token in tokens] == [number >= removed for number in range(len(tokens))]


def test_all_images_go_after_their_time_with_more_jobs_than_one_query_returns(
    core: Engine, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D15: one sweep is enough."""
    monkeypatch.setattr(pages, "PAGE", 2)
    tokens = [ended(core, 10) for _ in range(5)]
    clock.advance(11 * HOUR)
    core.retention.sweep()

    assert not any(kept(core, token) for token in tokens)


def test_one_image_that_cannot_be_removed_keeps_no_other(
    core: Engine, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """F-R3: it is named in the log, once, and tried again by the next sweep."""
    stuck, other = ended(core), ended(core)
    blob = core.spool.path(core.service.job(stuck, ANNA).documents[0])
    blob.rename(blob.with_suffix(".saved"))
    (blob / "folder").mkdir(parents=True)  # no file, so it cannot be unlinked, by root neither
    clock.advance(11 * HOUR)
    for _ in range(2):
        core.retention.sweep()
    assert not kept(core, other)
    assert core.service.job(stuck, ANNA).images_kept
    assert caplog.messages == ["images not removed"]

    (blob / "folder").rmdir()
    blob.rmdir()
    core.retention.sweep()

    assert not kept(core, stuck)


def timed_out(core: Engine, size: int = 1000) -> JobToken:
    """Make a job whose device sent one image, or none, and nothing more; let the sweep see it."""
    works = Works(core, ANNA)
    token = works.create("copy")
    if size:
        works.send(token, 1, b"x" * size)
    with core.store.change(token) as job:
        job.expire(core.clock.now())
    core.retention.sweep()
    return token


def test_the_images_of_a_silent_device_go_after_their_time_and_later_the_job(
    core: Engine, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """D4, D15, T-Q4: an administrator has a week to release them; their end is a warning in the log."""
    token = timed_out(core)
    clock.advance(1)
    newer = {timed_out(core, 0) for _ in range(2)}
    clock.advance(168 * HOUR - 1)
    core.retention.sweep()
    assert kept(core, token)
    assert caplog.messages == []

    clock.advance(1)
    core.retention.sweep()

    with pytest.raises(JobNotFound):
        core.service.job(token, ANNA)
    assert list(core.spool.files()) == []
    assert caplog.messages == ["images of unfinished job removed"]
    assert {job.token for job in core.service.history(ANNA)} == newer


def test_the_images_of_a_silent_device_are_not_in_the_budget(core: Engine, clock: FakeClock) -> None:
    """D4: what is not delivered yet does not make room for what is."""
    silent = timed_out(core, 4000)
    done = []
    for _ in range(2):
        done.append(ended(core, 2500))
        clock.advance(1)
    core.retention.sweep()
    assert [kept(core, token) for token in (silent, *done)] == [True, True, True]

    done.append(ended(core, 1))
    core.retention.sweep()

    assert [kept(core, token) for token in (silent, *done)] == [True, False, True, True]


@pytest.mark.parametrize("reason", [JobReason.TIMED_OUT, JobReason.PROCESSING_FAILED])
def test_a_job_that_has_no_image_is_forgotten_like_any_other(core: Engine, clock: FakeClock, reason: JobReason) -> None:
    """T-Q4: there is nothing of it to keep, so jobs that are only created do not fill the database."""
    tokens = [timed_out(core, 0) for _ in range(3)]
    if reason is JobReason.PROCESSING_FAILED:
        tokens.append(Works(core, ANNA).create("copy"))
        with core.store.change(tokens[-1]) as job:
            job.fail(reason, clock.now())
    clock.advance(23.9 * HOUR)
    core.retention.sweep()
    assert len(core.service.history(ANNA)) == len(tokens)

    clock.advance(25 * HOUR)
    core.retention.sweep()

    assert len(core.service.history(ANNA)) == 2


def test_failed_jobs_keep_their_images_until_somebody_discards_them(core: Engine, clock: FakeClock) -> None:
    """D15: never purged silently; `discard` is a decision, and in the audit trail."""
    token = ended(core, failed=True)
    clock.advance(1000 * HOUR)
    core.retention.sweep()
    assert kept(core, token)

    core.service.discard(token, ADMIN)

    assert not kept(core, token)
    assert core.service.audit(ADMIN, token)[-1].verb == "discard"


def test_ended_jobs_are_forgotten_when_they_are_old_and_beyond_the_number(core: Engine, clock: FakeClock) -> None:
    """D15, DSP-085: at least 24 hours, and at least so many."""
    tokens = [ended(core, 10) for _ in range(4)]
    clock.advance(23 * HOUR)
    core.retention.sweep()
    assert len(core.service.history(ANNA)) == 4

    clock.advance(2 * HOUR)
    core.retention.sweep()

    assert len(core.service.history(ANNA)) == 2
    with pytest.raises(JobNotFound):
        [core.service.job(token, ANNA) for token in tokens]


def test_answers_are_forgotten_after_a_day(core: Engine, clock: FakeClock) -> None:
    """D14: the window of identical requests."""
    request = RequestKey("urn:uuid:0b7c2f14-5f0e-4a5d-8e0b-2f6a9c1d3e01", "same")
    token = core.service.create(ANNA, SID, "P", instructions("copy"), request)
    clock.advance(23 * HOUR)
    core.retention.sweep()
    assert core.service.create(ANNA, SID, "P", instructions("copy"), request) == token

    clock.advance(2 * HOUR)
    core.retention.sweep()

    assert core.service.create(ANNA, SID, "P", instructions("copy"), request) != token


def test_an_abandoned_job_can_be_released_as_a_new_one(core: Engine, clock: FakeClock) -> None:
    """D4, ruling 4: new token, same owner, same bytes; the old one stays Aborted."""
    works = Works(core, ANNA)
    token = works.create("copy", go_on=True)
    data = works.send(token, 4)
    with core.store.change(token) as job:
        job.expire(clock.now())

    released = core.service.release(token, ADMIN)

    job = core.service.job(released, ANNA)
    assert (job.state, job.images_received, job.continue_on_error) == (JobState.PENDING, 1, True)
    assert core.spool.path(job.documents[0]).read_bytes() == data
    assert core.service.job(token, ANNA).state is JobState.ABORTED
    assert not kept(core, token)
    with pytest.raises(WrongState):
        core.service.release(token, ADMIN)


def test_only_an_abandoned_or_held_job_can_be_released(core: Engine) -> None:
    """A job that failed for another reason is not run again by this road."""
    with pytest.raises(WrongState):
        core.service.release(ended(core, failed=True), ADMIN)


def test_a_job_that_has_not_ended_cannot_be_discarded(core: Engine) -> None:
    """Cancel it first."""
    with pytest.raises(WrongState):
        core.service.discard(Works(core, ANNA).create("copy"), ADMIN)


def logged(core: Engine, token: JobToken) -> Path:
    """Write a line into the log of a job of ANNA; return the path of the log."""
    writer = JobLogWriter(core.spool.logs, token, ANNA.name, 0, 1, core.clock, 0)
    writer.append("info", "page 1")
    writer.close()
    return core.spool.logs.path(token)


def test_a_log_stays_as_long_as_its_job_and_is_removed_with_it(core: Engine, clock: FakeClock) -> None:
    """D15: longer than the images, so that what went wrong can still be read; its bytes are free again."""
    tokens = [ended(core, 10) for _ in range(4)]
    logs = [logged(core, token) for token in tokens]
    clock.advance(23 * HOUR)
    core.retention.sweep()
    assert not any(kept(core, token) for token in tokens)
    assert all(log.exists() for log in logs)

    clock.advance(2 * HOUR)
    core.retention.sweep()

    left = {job.token for job in core.service.history(ANNA)}
    assert len(left) == 2
    assert [log.exists() for log in logs] == [token in left for token in tokens]
    assert core.spool.logs.bytes_of(ANNA.name) == sum(log.stat().st_size for log in logs if log.exists())


def test_a_log_that_cannot_be_removed_keeps_no_job(
    core: Engine, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The next start of the server tries again."""
    tokens = [ended(core, 10) for _ in range(3)]
    for token in tokens:
        (core.spool.logs.path(token) / "folder").mkdir(parents=True)  # no file, so it cannot be unlinked
    clock.advance(25 * HOUR)
    core.retention.sweep()

    assert len(core.service.history(ANNA)) == 2
    assert caplog.messages == ["log of a job not removed"]


def test_the_log_of_a_discarded_job_is_removed_with_its_images(core: Engine) -> None:
    """An administrator has decided so."""
    token = ended(core, failed=True)
    log = logged(core, token)

    core.service.discard(token, ADMIN)

    assert not log.exists()
    assert core.service.lines(token, ADMIN).lines == ()


def test_a_log_that_a_command_has_removed_takes_no_room(core: Engine) -> None:
    """I5: the server counts it no longer after its next sweep."""
    log = logged(core, ended(core))
    assert core.spool.logs.bytes_of(ANNA.name) > 0
    log.unlink()

    core.retention.sweep()

    assert core.spool.logs.bytes_of(ANNA.name) == 0
