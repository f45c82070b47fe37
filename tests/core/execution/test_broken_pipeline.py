"""A job whose pipeline raises an error each time: it is tried again, then aborted, and the others go on."""

from __future__ import annotations

from conftest import ANNA
from works import Works

from postscan.core.cluster.job_locks import OnlyHolder
from postscan.core.cluster.wakeups import NoWakeups
from postscan.core.engine import Engine
from postscan.core.execution.executor import JobDone
from postscan.core.execution.scheduler import TRIES, Scheduler
from postscan.core.model.job import JobToken, JobTurn
from postscan.core.model.states import FilterVerb, JobReason, JobState
from postscan.plugins.testing.runner import FakeClock

PAUSE = 6.0


class Broken:
    """An executor that can run no job; `submitted` counts them."""

    submitted = 0

    def submit(self, run: JobTurn, done: JobDone) -> None:
        """Fail at once."""
        self.submitted += 1
        done(run.token, RuntimeError("no thread can be started"))

    def interrupt(self, token: JobToken) -> None:
        """Do nothing."""

    def drop(self, token: JobToken) -> None:
        """Do nothing."""

    def suspend(self) -> None:
        """Do nothing."""

    def free(self) -> bool:
        """There is always room."""
        return True

    def running(self) -> dict[JobToken, int]:
        """Nothing runs."""
        return {}

    def stop(self, drain_seconds: float) -> None:
        """Do nothing."""


def test_a_job_whose_pipeline_breaks_three_times_is_aborted_and_leaves_nothing_that_its_filters_made(
    core: Engine, clock: FakeClock
) -> None:
    """F-R28: with a pause before each; what the device sent is kept."""
    works, executor = Works(core, ANNA), Broken()
    token = works.create("copy", "copy")
    works.send(token)
    core.service.end(token, ANNA)
    core.store.claim(core.clock.now(), "a holder")
    with core.spool.open_image(token, 2, "pdf", 1000, made=True) as writer:
        writer.write(b"made")
    with core.store.change(token) as job:
        job.start(0, core.clock.now())
        job.report(0, FilterVerb.SUCCEED, core.clock.now(), documents=(writer.document,))
    scheduler = Scheduler(core.store, clock, executor, OnlyHolder(), NoWakeups(), discard=core.spool.discard)

    for _ in range(TRIES + 1):
        scheduler.poll()
        scheduler.poll()  # before the pause is over
        clock.advance(PAUSE)

    ended = core.store.load(token)
    assert executor.submitted == TRIES
    assert (ended.state, ended.reasons) == (JobState.ABORTED, (JobReason.PROCESSING_FAILED,))
    assert [core.spool.path(one).exists() for one in (*ended.documents, writer.document)] == [True, False]
