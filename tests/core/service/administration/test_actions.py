"""What a caller may do with a job in its state, and that the verbs of the service follow the same rule."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from conftest import ANNA, BORIS
from job_states import NOW, STATES, started
from works import SID

from postscan.core.engine import Engine
from postscan.core.errors import JobNotFound, NotAdministrator, PostscanError
from postscan.core.model.job import Job
from postscan.core.model.principal import Principal, Proof, of_source
from postscan.core.model.states import FilterVerb, JobReason, JobState
from postscan.core.service.administration.actions import JobAction, actions, check
from postscan.core.settings import Settings

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
SOURCE = of_source("mail", "10.0.0.9")
CALLERS = {"administrator": ADMIN, "owner": ANNA, "another": BORIS}


def failed(job: Job) -> None:
    """Its first filter has failed, and so has the job."""
    started(job)
    job.start(0, NOW)
    job.report(0, FilterVerb.FAIL, NOW)
    job.fail(JobReason.PROCESSING_FAILED, NOW)


def completed_with_errors(job: Job) -> None:
    """Its first filter has failed, and its second one was not asked."""
    started(job)
    job.start(0, NOW)
    job.report(0, FilterVerb.FAIL, NOW)
    job.finish(NOW)


WAYS: dict[str, Callable[[Job], object]] = {
    **{state: lead for state, lead in STATES.items() if state != "Aborted"},
    "failed": failed,
    "completed with errors": completed_with_errors,
    "timed out": lambda job: job.expire(NOW),
    "source failed": lambda job: job.break_off(NOW),
    "no filter": lambda job: (started(job), job.fail(JobReason.NO_VALID_INSTRUCTIONS, NOW)),
}
"""How a job comes into each state, and to each end that matters."""

ACTIONS = {
    "Creating": ["cancel"],
    "Pending": ["cancel", "hold"],
    "Pending-Held": ["cancel", "release"],
    "Started": ["cancel"],
    "Processing": ["cancel"],
    "Terminating": ["cancel"],
    "Completed": ["discard"],
    "Canceled": ["discard"],
    "failed": ["retry", "discard"],
    "completed with errors": ["retry", "discard"],
    "timed out": ["release", "discard"],
    "source failed": ["release", "discard"],
    "no filter": ["retry", "discard"],
}
"""What an administrator may do then, while the images are kept."""

VERBS: dict[JobAction, Callable[[Engine, str, Principal], object]] = {
    JobAction.CANCEL: lambda core, token, by: core.service.cancel(token, by),
    JobAction.HOLD: lambda core, token, by: core.service.hold(token, by),
    JobAction.RELEASE: lambda core, token, by: core.service.release(token, by),
    JobAction.RETRY: lambda core, token, by: core.service.retry(token, by),
    JobAction.DISCARD: lambda core, token, by: core.service.discard(token, by),
}

Made = Callable[..., Job]


@pytest.fixture
def made(job: Callable[..., Job]) -> Made:
    """Make a job that came to this end or state."""

    def make(way: str, owner: Principal = ANNA, token: str = "job") -> Job:
        one = job("urn:acme:copy", "urn:acme:copy", token=token, owner=owner)
        WAYS[way](one)
        return one

    return make


@pytest.mark.parametrize("way", WAYS)
def test_the_state_of_a_job_decides_what_an_administrator_may_do(made: Made, way: str) -> None:
    """What needs its images is not possible without them."""
    job = made(way)
    job.images_kept = False
    without_images = actions(job, ADMIN)
    job.images_kept = True

    assert [str(action) for action in actions(job, ADMIN)] == ACTIONS[way]
    assert without_images == (() if job.state.ended else actions(job, ADMIN))


@pytest.mark.parametrize("way", WAYS)
def test_an_owner_may_cancel_and_nothing_else(made: Made, way: str) -> None:
    """The same name with another proof is another caller, and may nothing."""
    possible = ("cancel",) if "cancel" in ACTIONS[way] else ()

    assert actions(made(way), ANNA) == possible
    assert actions(made(way), BORIS) == ()
    assert actions(made(way), replace(ANNA, proof=Proof.CERTIFICATE)) == ()


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (Principal(f"user:{SID}", Proof.CERTIFICATE, sid=SID), (JobAction.CANCEL,)),
        (Principal(f"user:{SID}", Proof.ADDRESS, sid=SID), ()),
        (SOURCE, (JobAction.CANCEL,)),
    ],
)
def test_the_user_of_a_sources_job_may_cancel_it(made: Made, by: Principal, expected: tuple[JobAction, ...]) -> None:
    """D25: if a certificate proves that it is the user."""
    assert actions(made("Creating", owner=SOURCE), by) == expected


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A cancel waits for no filter: none runs."""
    return settings.model_copy(update={"running": settings.running.model_copy(update={"cancel_answer_seconds": 0.0})})


@pytest.mark.parametrize("way", WAYS)
def test_a_verb_is_done_exactly_if_it_is_one_of_the_actions(core: Engine, made: Made, way: str) -> None:
    """What a front end offers is what the service does; all else changes nothing."""
    for (who, by), action in itertools.product(CALLERS.items(), JobAction):
        token = f"{who} {action}"
        core.store.insert(made(way, token=token))
        before, number = core.store.load(token), len(core.store.open_jobs())

        try:
            VERBS[action](core, token, by)
        except PostscanError:
            is_done = False
        else:
            is_done = True

        assert is_done == (action in actions(before, by)), token
        assert [line.verb for line in core.store.audit(token) if line.outcome == "done"] == [action] * is_done
        if not is_done:
            assert core.store.load(token) == before
            assert len(core.store.open_jobs()) == number


@pytest.mark.parametrize("action", [JobAction.HOLD, JobAction.RELEASE, JobAction.RETRY, JobAction.DISCARD])
def test_who_may_not_is_told_why(made: Made, action: JobAction) -> None:
    """An owner that it is no administrator, and others that there is no such job."""
    with pytest.raises(NotAdministrator):
        check(action, made("failed"), ANNA)
    with pytest.raises(JobNotFound):
        check(action, made("failed"), BORIS)


def test_a_state_that_does_not_allow_an_action_is_named(made: Made) -> None:
    """With its reason, and whether the images are gone: release is for jobs that timed out, and retry for others."""
    timed_out, done = made("timed out"), made("Completed")
    done.images_kept = False

    with pytest.raises(PostscanError, match=r"cannot retry while Aborted \(PostScanJobTimedOut\)$"):
        check(JobAction.RETRY, timed_out, ADMIN)
    with pytest.raises(PostscanError, match=r"cannot discard while Completed \(.*\), without images$"):
        check(JobAction.DISCARD, done, ADMIN)
    assert done.state is JobState.COMPLETED
