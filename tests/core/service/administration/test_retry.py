"""A job that failed is processed again, as a new job: once, with what its filters need, by an administrator (D29)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ANNA, BORIS
from job_states import NOW, started
from works import Works

from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument, JobNotFound, NotAdministrator, SpoolFull, WrongState
from postscan.core.model.job import Job, JobDocument, JobToken
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.records import Delivery
from postscan.core.model.states import FilterVerb, JobReason, JobState
from postscan.core.service.administration.reprocessing import plan

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)


@pytest.fixture
def idle(core: Engine) -> Works:
    """An engine that runs no filter."""
    return Works(core, ANNA)


def fail(works: Works, token: str) -> None:
    """Let the first filter of a job fail, and the job with it."""
    with works.core.store.change(token) as job:
        started_if_pending(job)
        job.start(0, NOW)
        job.report(0, FilterVerb.FAIL, NOW)
        job.fail(JobReason.PROCESSING_FAILED, NOW)


def started_if_pending(job: Job) -> None:
    """Claim a job that has ended its images."""
    if job.state is JobState.PENDING:
        job.claim(NOW)


def failed(works: Works, *filters: str) -> tuple[JobToken, bytes]:
    """Return a job with two images whose first filter has failed, and the second image."""
    token = works.create(*filters or ("copy", "copy"), go_on=True)
    works.send(token, 1)
    image = works.send(token, 4)
    works.service.end(token, ANNA)
    fail(works, token)
    return token, image


def files(works: Works) -> list[Path]:
    """Return the files of the spool."""
    return [path for path in works.core.settings.storage.spool_dir.glob("*/*") if path.is_file()]


# --- the new job -----------------------------------------------------------------------------------------------------


def test_the_new_job_has_the_images_and_the_failed_one_stays_as_it_ended(idle: Works) -> None:
    """Same owner, user, process, names, bytes; a retry is in the audit trail."""
    token, image = failed(idle)
    before = idle.job(token)

    new = idle.service.retry(token, ADMIN)

    job = idle.job(new)
    same = ("owner", "user", "process_id", "process_name", "document_root", "continue_on_error")
    assert (job.state, {name: getattr(job, name) for name in same}) == (
        JobState.PENDING,
        {name: getattr(before, name) for name in same},
    )
    assert [one.id for one in job.documents] == [1, 4]
    assert idle.core.spool.path(job.documents[1]).read_bytes() == image
    assert [step.instructions for step in job.steps] == [step.instructions for step in before.steps]
    assert replace(idle.job(token), images_kept=True, version=before.version) == before
    assert len(files(idle)) == 2
    assert idle.core.store.recount() == []
    line = idle.core.store.audit(token)[-1]
    assert (line.who, line.verb, line.outcome, line.detail) == (
        ADMIN.name,
        "retry",
        "done",
        f"its images became job {new}",
    )


def test_a_part_of_the_filters_is_named_in_the_audit_trail(idle: Works) -> None:
    """By their numbers in the failed job."""
    token, _ = failed(idle)

    new = idle.service.retry(token, ADMIN, 1)

    assert idle.core.store.audit(token)[-1].detail == f"its images became job {new}, with filters 2 of 2"


def test_a_job_is_retried_once_however_often_that_is_asked(idle: Works) -> None:
    """The images belong to the new job, which may be retried when it has failed."""
    token, _ = failed(idle)
    new = idle.service.retry(token, ADMIN)
    with pytest.raises(WrongState):
        idle.service.retry(token, ADMIN)
    fail(idle, new)

    assert idle.job(idle.service.retry(new, ADMIN)).state is JobState.PENDING
    assert len(idle.service.active(ADMIN)) == 1
    assert len(files(idle)) == 2


def test_of_two_retries_at_once_one_makes_a_job(idle: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have read the failed job before either stores the new one; no file is left of the other."""
    token, _ = failed(idle)
    both, insert = threading.Barrier(2, timeout=60), idle.core.store.insert

    def insert_together(*arguments: Any, **options: Any) -> None:
        both.wait()
        insert(*arguments, **options)

    def retry() -> str | None:
        try:
            return idle.service.retry(token, ADMIN)
        except WrongState:
            return None

    monkeypatch.setattr(idle.core.store, "insert", insert_together)
    with ThreadPoolExecutor(2) as threads:
        made = {one.result() for one in [threads.submit(retry) for _ in range(2)]}

    [job] = idle.service.active(ADMIN)
    assert made == {None, job.token}
    assert sorted(path.parent.name for path in files(idle)) == [job.token] * 2


def test_a_job_whose_file_is_lost_cannot_be_retried(idle: Works) -> None:
    """And nothing is left of the attempt."""
    token, _ = failed(idle)
    idle.core.spool.path(idle.job(token).documents[1]).unlink()

    with pytest.raises(SpoolFull):
        idle.service.retry(token, ADMIN)

    assert [path.parent.name for path in files(idle)] == [token]
    assert idle.job(token).images_kept
    assert idle.service.active(ADMIN) == []


# --- which jobs, and who ---------------------------------------------------------------------------------------------

OTHERS: dict[str, Callable[[Job], object]] = {
    "waiting": lambda job: None,
    "running": lambda job: (job.claim(NOW), job.start(0, NOW)),
    "canceled": lambda job: job.cancel(NOW),
    "successful": lambda job: (
        job.claim(NOW),
        job.start(0, NOW),
        job.report(0, FilterVerb.SUCCEED, NOW),
        job.finish(NOW),
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_job_that_has_not_failed_is_not_retried(idle: Works, kind: str) -> None:
    """A cancel was a decision, and a success is one."""
    token = idle.start("copy")
    with idle.core.store.change(token) as job:
        OTHERS[kind](job)

    with pytest.raises(WrongState):
        idle.service.retry(token, ADMIN)
    with pytest.raises(WrongState):
        idle.service.plan_retry(token, ADMIN)


def test_a_job_whose_images_are_gone_is_not_retried(idle: Works) -> None:
    """The message names that."""
    token, _ = failed(idle)
    idle.service.discard(token, ADMIN)

    with pytest.raises(WrongState, match="without images"):
        idle.service.retry(token, ADMIN)


def test_only_an_administrator_retries(idle: Works) -> None:
    """To another caller than the owner the job is unknown (T-O1)."""
    token, _ = failed(idle)

    for verb in (idle.service.retry, idle.service.plan_retry):
        with pytest.raises(NotAdministrator):
            verb(token, ANNA)
        with pytest.raises(JobNotFound):
            verb(token, BORIS)
    assert idle.service.active(ADMIN) == []


# --- which filters ---------------------------------------------------------------------------------------------------

MADE = (JobDocument(9, "pdf", 1, "", "job/made-9"),)


def end(job: Job, *ends: FilterVerb | tuple[JobDocument, ...] | None) -> Job:
    """Let the filters of a job end so: with documents, by a verb, or with the job (None)."""
    started(job)
    for position, how in enumerate(ends):
        if how is not None:
            job.start(position, NOW)
            verb, documents = (how, None) if isinstance(how, FilterVerb) else (FilterVerb.SUCCEED, how)
            job.report(position, verb, NOW, documents=documents)
    job.fail(JobReason.PROCESSING_FAILED, NOW)
    return job


DONE, FAIL, WARN = FilterVerb.SUCCEED, FilterVerb.FAIL, FilterVerb.WARN


@pytest.mark.parametrize(
    ("ends", "position", "runs", "remakes"),
    [
        ((FAIL, None, None), None, [0, 1, 2], []),
        ((DONE, FAIL, None), None, [1, 2], []),
        ((DONE, WARN, FAIL), None, [2], []),
        ((MADE, DONE, FAIL), None, [0, 2], [0]),
        ((MADE, MADE, FAIL), None, [0, 1, 2], [0, 1]),
        (((), DONE, FAIL), None, [0, 2], [0]),
        ((DONE, FAIL, MADE), None, [1, 2], []),
        ((FAIL, DONE, FAIL), None, [0, 1, 2], []),
        ((None, None, None), None, [0, 1, 2], []),
        ((DONE, None, None), None, [1, 2], []),
        ((MADE, FAIL, None), 2, [0, 2], [0]),
        ((DONE, FAIL, None), 2, [2], []),
        ((DONE, DONE, FAIL), 0, [0, 1, 2], []),
    ],
)
def test_the_failed_filter_those_after_it_and_those_that_made_documents_run_again(
    job: Callable[..., Job], ends: tuple[Any, ...], position: int | None, runs: list[int], remakes: list[int]
) -> None:
    """Documents that a filter made are removed when a job ends, and the filters after it need them."""
    planned = plan(end(job("a", "b", "c"), *ends), [], position)

    assert [one.step.position for one in planned] == [0, 1, 2]
    assert [one.step.position for one in planned if one.runs] == runs
    assert [one.step.position for one in planned if one.remakes] == remakes


@pytest.mark.parametrize("position", [-1, 3])
def test_a_filter_that_the_job_does_not_have_is_refused(job: Callable[..., Job], position: int) -> None:
    """By its number, as people count."""
    with pytest.raises(InvalidArgument, match="1 to 3"):
        plan(end(job("a", "b", "c"), FAIL), [], position)


def test_a_plan_has_what_was_delivered(job: Callable[..., Job]) -> None:
    """Published outputs alone: another one may not be there."""
    there = [Delivery(0, 1, "/srv", "a", published=True), Delivery(1, None, "/srv", "b", published=True)]
    granted = Delivery(1, 2, "/srv", "c", published=False)

    planned = plan(end(job("a", "b"), DONE, FAIL), [*there, granted], None)

    assert [list(one.published) for one in planned] == [[there[0]], [there[1]]]


def test_the_filters_of_the_new_job_get_what_earlier_ones_make_again(works: Works) -> None:
    """The filter that failed is left out by `position`; the one after it delivers what the first one made."""
    token = works.create("turn reverse:1", "fail acme:torn", "copy")
    image = works.send(token)
    works.service.end(token, ANNA)
    assert works.ended(token).state is JobState.ABORTED

    new = works.ended(works.service.retry(token, ADMIN, 2))

    assert new.state is JobState.COMPLETED
    assert [step.dialect for step in new.steps] == ["urn:acme:turn", "urn:acme:copy"]
    [name] = works.delivered()
    assert (works.out / name).read_bytes() == image[::-1]


def test_what_was_delivered_stays_and_is_delivered_again(works: Works) -> None:
    """The filter after the failed one runs again: it has got other documents, if the failed one makes some now."""
    token = works.start("fail acme:torn", "copy", go_on=True)
    assert works.ended(token).reasons == (JobReason.ERRORS,)
    planned = works.service.plan_retry(token, ADMIN)

    new = works.ended(works.service.retry(token, ADMIN))

    assert [(one.runs, len(one.published)) for one in planned] == [(True, 0), (True, 1)]
    assert new.reasons == (JobReason.ERRORS,)
    assert len(works.delivered()) == 2
