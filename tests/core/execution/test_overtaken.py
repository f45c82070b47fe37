"""A run whose job was resumed elsewhere: it is stopped, and whatever it does late changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from conftest import ANNA
from works import Works, until

from postscan.core.clock import SystemClock
from postscan.core.engine import Engine
from postscan.core.errors import Overtaken
from postscan.core.execution.interrupt import Interrupt
from postscan.core.execution.stored_job import StoredJob
from postscan.core.model.job import Job, JobTurn
from postscan.core.model.states import FilterVerb, JobState
from postscan.core.workers.outcome import FilterOutcome

LATE: dict[str, Callable[[StoredJob, Job], object]] = {
    "load": lambda stored, _job: stored.load(),
    "start": lambda stored, _job: stored.start(0, 2),
    "start again": lambda stored, _job: stored.start(0, 1),
    "suspend": lambda stored, job: stored.suspend(job.steps[0]),
    "report": lambda stored, job: stored.report(job.steps[0], FilterOutcome(FilterVerb.SUCCEED)),
    "close": lambda stored, _job: stored.close(),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE.keys())
def test_what_a_run_stores_after_its_turn_is_refused(core: Engine, late: Callable[[StoredJob, Job], object]) -> None:
    """The number of its attempt is still that of the row: the next run has not begun."""
    works = Works(core, ANNA)
    token = works.start("copy")
    claimed = core.store.claim(core.clock.now(), "first")
    assert claimed is not None
    with core.store.change(token) as job:
        job.start(0, core.clock.now())
    stored = StoredJob(core.store, SystemClock(), JobTurn(token, claimed.turn), Interrupt())
    [seen] = core.store.jobs_in_progress()
    core.store.resume(seen, "second")
    before = core.store.load(token)

    with pytest.raises(Overtaken):
        late(stored, before)

    assert core.store.load(token) == before


def test_a_filter_whose_job_is_resumed_elsewhere_is_stopped_and_reports_nothing(
    works: Works, caplog: pytest.LogCaptureFixture
) -> None:
    """The other process ends at once here, so this one runs the filter again, in its next turn."""
    caplog.set_level(logging.WARNING)
    token = works.start("sleep until woken")
    works.await_trace(token, "sleep")
    [seen] = works.core.store.jobs_in_progress()

    assert works.core.store.resume(seen, "elsewhere") == (token, 2)

    until(lambda: len(works.trace(token)) == 2, "for the next run")
    works.wake(token)
    job = works.ended(token)
    assert [line[0] for line in works.trace(token)] == ["sleep", "sleep", "slept"]
    assert (job.state, job.turn, job.steps[0].attempt) == (JobState.COMPLETED, 3, 2)
    assert [one.getMessage() for one in caplog.records] == ["run of a job dropped"]


def test_documents_of_a_run_that_was_overtaken_do_not_stay_in_the_spool(core: Engine) -> None:
    """Its end is refused after they were moved there; those of the run behind it stay."""
    works = Works(core, ANNA)
    resumed = False
    opened = core.spool.open_image

    def overtaking(*about: object, **options: object) -> object:
        """Open a document, and let another process resume the job meanwhile, once."""
        nonlocal resumed
        if options.get("made") and not resumed:
            resumed = True
            [seen] = core.store.jobs_in_progress()
            core.store.resume(seen, "elsewhere")
        return opened(*about, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, core.running():
        patch.setattr(core.spool, "open_image", overtaking)
        token = works.start("turn add", "sleep until woken")
        works.await_trace(token, "sleep")
        job = works.job(token)
        files = {file.key for file in core.spool.files()}
        works.wake(token)
        works.ended(token)

    assert job.steps[0].attempt == 2
    assert files == {document.blob for document in (*job.documents, *job.made)}
    assert job.made
