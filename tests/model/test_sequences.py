"""The campaigns of `campaigns/model.py` in short, and the sequences in which the model has found a bug."""

from __future__ import annotations

import pytest
from model.actors import Actor, dismiss
from model.chance import interleaving, opened
from model.trial import SILENCE, Trial, Violation
from model.world import ADMIN, ANNA, IMAGES, MIMIC, OPEN_JOBS, Ask, Verb

from postscan.core.model.job import Job
from postscan.core.model.states import Verb as JobVerb
from postscan.core.service import access
from postscan.core.spool import recovery
from postscan.core.spool.image_store.folder_spool import FolderSpool
from postscan.core.store.store import Store


@pytest.fixture
def trial():
    """A world and an engine without any job."""
    trial = Trial()
    yield trial
    trial.close()


def test_two_images_at_once_do_not_make_more_than_a_job_may_have(trial):
    """Each was let in while there was room for one."""
    token = created(trial)
    images = [stepped(trial, trial.ask(Ask(Verb.SEND, ANNA, token, number)), "image") for number in (2, 3)]
    for image in images:
        trial.run(image)

    assert [type(image.error).__name__ for image in images] == ["NoneType", "InvalidArgument"]
    assert len(trial.world.jobs[token].images) == IMAGES


def test_two_creates_at_once_do_not_make_more_jobs_than_a_caller_may_have_open(trial):
    """Each was made while there was room for one."""
    for _ in range(OPEN_JOBS - 1):
        created(trial, images=0)
    creates = [stepped(trial, trial.ask(Ask(Verb.CREATE, ANNA)), "write") for _ in range(2)]
    for create in creates:
        trial.run(create)

    assert [type(create.error).__name__ for create in creates] == ["NoneType", "Unavailable"]


def test_after_an_error_no_other_filter_starts_even_if_the_server_is_killed_in_between(trial):
    """I18, F-R1: the error is stored, and the server dies before it can close the job."""
    token = created(trial)
    trial.run(trial.ask(Ask(Verb.END, ANNA, token)))
    trial.run(trial.look())
    (job,) = trial.live()
    stepped(trial, job, "filter")
    trial.step(job, "fail")
    trial.step(job)
    trial.crash()
    trial.settle()

    job = trial.world.jobs[token]
    assert (job.state, [one.attempt for one in job.filters]) == ("Aborted", [1, 0])


@pytest.fixture
def defective():
    """The same, of which nobody expects that nothing is left."""
    trial = Trial()
    yield trial
    trial.engine.close()
    dismiss()


def created(trial: Trial, by=ANNA, message: str = "", images: int = 1) -> str:
    """Make a job with images; return its token."""
    token = str(trial.run(trial.ask(Ask(Verb.CREATE, by, message=message))).answer)
    for number in range(1, images + 1):
        trial.run(trial.ask(Ask(Verb.SEND, by, token, number)))
    return token


def stepped(trial: Trial, actor: Actor, gate: str) -> Actor:
    """Let an actor go on until it waits at a gate."""
    while actor.at != gate:
        trial.step(actor)
    return actor


def test_interleavings_at_random_keep_every_invariant(trial):
    """I1 to I26, and what `model.invariants` says of the others."""
    openings = opened(trial, 8)
    steps = 0
    for seed in range(60):
        interleaving(trial, openings, seed)
        steps += trial.moves

    assert steps > 500


def test_a_stored_cancel_is_acknowledged_even_if_the_database_is_busy_right_after_it(trial):
    """I11: the images are removed after the commit; that it fails is no reason to answer a fault."""
    token = created(trial)
    cancel = stepped(trial, trial.ask(Ask(Verb.CANCEL, ANNA, token)), "written")
    stepped(trial, cancel, "write")
    trial.step(cancel, locked=True)
    trial.run(cancel)

    assert (cancel.error, trial.world.jobs[token].state) == (None, "Canceled")


def test_a_cancel_that_waits_for_the_end_is_acknowledged_even_if_the_database_is_busy(trial):
    """I11: so is the look at whether the filters have stopped."""
    token = created(trial)
    trial.run(trial.ask(Ask(Verb.END, ANNA, token)))
    trial.run(trial.look())
    cancel = stepped(trial, trial.ask(Ask(Verb.CANCEL, ANNA, token)), "written")
    stepped(trial, cancel, "read")
    trial.step(cancel, locked=True)
    trial.run(cancel)

    assert (cancel.error, trial.world.jobs[token].state) == (None, "Terminating")
    trial.settle()


def test_a_name_with_another_proof_sees_none_of_the_jobs(trial):
    """I13: principals are compared exactly, in lists as well."""
    token = created(trial)

    assert trial.engine.service.active(MIMIC) == []
    assert [job.token for job in trial.engine.service.active(ANNA)] == [token]


def test_a_name_with_another_proof_may_use_the_same_message_id(trial):
    """I26: equal MessageIDs of different principals are unrelated."""
    mine, theirs = created(trial, message="m1"), created(trial, MIMIC, message="m1")

    assert mine != theirs


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.END])
def test_the_slower_one_of_two_equal_requests_gets_the_same_answer(trial, verb):
    """I25: both found no answer yet; what the first one did must not be the other one's fault."""
    token = created(trial)
    twins = [stepped(trial, trial.ask(Ask(verb, ANNA, token, message="m1")), "write") for _ in range(2)]
    trial.run(twins[0])
    if verb is Verb.END:
        trial.run(trial.ask(Ask(Verb.CANCEL, ANNA, token)))
    trial.run(twins[1])

    assert [twin.error for twin in twins] == [None, None]


def test_the_slower_one_of_two_equal_images_gets_the_same_answer_after_the_end(trial):
    """I25: the faster one was followed by the End."""
    token = created(trial)
    image = Ask(Verb.SEND, ANNA, token, 2, message="m1")
    twins = [stepped(trial, trial.ask(image), "image") for _ in range(2)]
    trial.run(twins[0])
    late = trial.ask(image)
    stepped(trial, late, "read")
    trial.step(late)
    trial.run(twins[1])
    trial.run(trial.ask(Ask(Verb.END, ANNA, token)))
    trial.run(late)

    assert [twin.error for twin in (*twins, late)] == [None, None, None]
    assert len(trial.world.jobs[token].images) == 2


def test_the_images_of_a_timed_out_job_become_one_new_job_only(trial):
    """I20: two administrators release it at once, and a third one after a crash."""
    token = created(trial)
    trial.engine.clock.advance(SILENCE)
    trial.run(trial.sweep())
    releases = [stepped(trial, trial.ask(Ask(Verb.RELEASE, ADMIN, token)), "write") for _ in range(2)]
    trial.step(releases[0])
    trial.run(releases[1])
    trial.crash()
    third = trial.run(trial.ask(Ask(Verb.RELEASE, ADMIN, token)))

    assert len(trial.world.jobs) == 2
    assert [type(one.error).__name__ for one in (releases[1], third)] == ["WrongState", "WrongState"]


def test_a_job_that_ends_while_the_scheduler_looks_is_not_run_again(trial):
    """I22: what is in hand is read before what is running; a job may end between the two."""
    token = created(trial)
    trial.run(trial.ask(Ask(Verb.END, ANNA, token)))
    trial.run(trial.look())
    (job,) = trial.live()
    look = trial.look()
    stepped(trial, look, "seen")
    trial.run(job, "done")
    trial.run(look)

    assert trial.live() == []
    assert trial.world.jobs[token].state == "Completed"


@pytest.mark.parametrize(
    ("part", "name", "wrong"),
    [
        (Job, "begin", lambda job, at: job._move(JobVerb.RUN, at) is None),
        (access, "owner_filter", lambda by: None),
        (Store, "response", lambda store, owner, message_id: None),
        (Store, "grant", lambda store, *about: True),
        (FolderSpool, "drop", lambda spool, *keys: None),
    ],
    ids=["cancels are not heeded", "owners", "answers", "grants", "files"],
)
def test_an_engine_without_one_of_its_rules_is_found_out(defective, monkeypatch, part, name, wrong):
    """A model that finds nothing proves nothing."""
    openings = opened(defective, 8)
    monkeypatch.setattr(part, name, wrong)

    with pytest.raises(Violation):
        for seed in range(600):
            interleaving(defective, openings, seed)


def test_a_file_without_a_row_is_found_out(defective, monkeypatch):
    """I4: a server that is killed between the file and the row leaves one; here the next server ignores it."""
    monkeypatch.setattr(recovery, "reconcile", lambda store, spool, clock: None)
    token = created(defective)
    image = stepped(defective, defective.ask(Ask(Verb.SEND, ANNA, token, 2)), "image")
    stepped(defective, image, "write")

    with pytest.raises(Violation, match="has no row"):
        defective.crash()
