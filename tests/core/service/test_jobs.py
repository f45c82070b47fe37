"""The rules of the service: who may do what, what is refused, and with which words."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import databases
import pytest
from conftest import ANNA, BORIS, AnyProcess
from job_states import STATES
from reads import between
from works import SID, Works, instructions

from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument, JobCanceled, JobNotFound, Unavailable, WrongState
from postscan.core.model.job import Job
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.process import Instructions, ScanProcess
from postscan.core.model.states import JobReason, JobState
from postscan.core.registry.catalogue import Catalogue, FilterInfo, Plugin, PluginState
from postscan.core.settings import Settings
from postscan.core.store.database import pages
from postscan.plugins.testing.runner import FakeClock

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)


@pytest.fixture
def idle(core: Engine) -> Works:
    """An engine in which nothing runs."""
    return Works(core, ANNA)


def limited(settings: Settings, **limits: object) -> Engine:
    """Make an engine with other limits."""
    changed = settings.model_copy(update={"limits": settings.limits.model_copy(update=limits)})
    databases.migrated(changed.storage.url)
    return Engine(changed, AnyProcess())


def test_a_token_is_a_random_guid_in_lower_case(idle: Works) -> None:
    """DSP-023, DSP-024."""
    tokens = {idle.create("copy") for _ in range(10)}

    assert len(tokens) == 10
    assert all(uuid.UUID(token).version == 4 and token == token.lower() for token in tokens)


def test_a_token_is_known_in_any_case_and_in_braces(idle: Works) -> None:
    """DSP-018, O-16."""
    token = idle.create("copy")

    assert idle.job(f" {{{token.upper()}}} ").token == token


@pytest.mark.parametrize("sid", ["", "mlopez", "S-1", "S-1-5", "s-1-5-21-1", "S-1-5-21-", "S-1-5-٢", "S-1-5-21-1 "])
def test_a_user_identifier_that_is_no_sid_is_refused(idle: Works, sid: str) -> None:
    """DSP-016."""
    with pytest.raises(InvalidArgument) as refused:
        idle.service.create(ANNA, sid, "P", instructions("copy"))

    assert refused.value.argument == "UserIdentifier"


def test_a_known_user_has_a_name_and_an_unknown_one_is_called_by_the_sid(core: Engine, settings: Settings) -> None:
    """PSP-047, D21."""
    known = settings.model_validate({"users": {SID: {"name": "anna@fabrikam.example"}}}).users
    core = Engine(settings.model_copy(update={"users": known}), AnyProcess())
    works = Works(core, ANNA)

    assert works.job(works.create("copy")).user.name == "anna@fabrikam.example"
    token = core.service.create(ANNA, "S-1-5-21-9-9-9-9", "P", instructions("copy"))
    assert works.job(token).user.name == "S-1-5-21-9-9-9-9"
    core.close()


def test_an_unknown_user_may_be_refused(core: Engine, settings: Settings) -> None:
    """D21, the switch."""
    strict = Engine(settings.model_copy(update={"allow_unknown_users": False}), AnyProcess())

    with pytest.raises(InvalidArgument, match="known user"):
        strict.service.create(ANNA, SID, "P", instructions("copy"))
    strict.close()


def test_a_process_that_is_unknown_or_of_others_is_refused_with_the_same_words(
    core: Engine, settings: Settings
) -> None:
    """DSP-017, O-4, O-6, T-O7: nobody learns which processes there are."""

    class Processes(AnyProcess):
        def find(self, identifier: str) -> ScanProcess | None:
            if identifier == "unknown":
                return None
            return ScanProcess(identifier, "Boss", "", instructions("copy"), users=frozenset({"boss@x"}))

    core = Engine(settings, Processes())
    said = []
    for identifier in ("unknown", "foreign"):
        with pytest.raises(InvalidArgument) as refused:
            core.service.create(ANNA, SID, identifier, instructions("copy"))
        said.append(str(refused.value).replace(identifier, "..."))
    core.close()

    assert said[0] == said[1]


def test_too_many_open_jobs_of_one_caller_are_refused_and_others_go_on(core: Engine, settings: Settings) -> None:
    """T-Q1 in small."""
    few = limited(settings, open_jobs=2)
    for _ in range(2):
        few.service.create(ANNA, SID, "P", instructions("copy"))

    with pytest.raises(Unavailable, match="2 open jobs"):
        few.service.create(ANNA, SID, "P", instructions("copy"))
    assert few.service.create(BORIS, SID, "P", instructions("copy"))
    few.close()


FOREIGN: dict[str, Callable[[Works, str, Principal], object]] = {
    "send": lambda works, token, by: works.service.open_image(token, by, 1, "png").__enter__(),
    "end": lambda works, token, by: works.service.end(token, by),
    "cancel": lambda works, token, by: works.service.cancel(token, by),
    "get": lambda works, token, by: works.service.job(token, by),
    "events": lambda works, token, by: works.service.events(token, by),
}


@pytest.mark.parametrize("verb", FOREIGN)
@pytest.mark.parametrize("state", STATES)
def test_a_foreign_token_is_answered_like_an_unknown_one(idle: Works, state: str, verb: str) -> None:
    """D2, I13, T-O1: the same error with the same words, and nothing changed; a look-alike is somebody else (T-O2)."""
    token = idle.create("copy")
    with idle.core.store.change(token) as job:
        STATES[state](job)
    before = idle.job(token)
    assert before.state == state

    for stranger in (BORIS, Principal(ANNA.name.upper(), ANNA.proof), Principal(ANNA.name, Proof.CERTIFICATE)):
        said = []
        for name in (token, "00000000-0000-4000-8000-000000000000"):
            with pytest.raises(JobNotFound) as refused:
                FOREIGN[verb](idle, name, stranger)
            said.append(str(refused.value).replace(name, "..."))
        assert said[0] == said[1]
        assert idle.service.cached(token, stranger) is None

    assert idle.job(token) == before


@pytest.mark.parametrize("state", STATES)
def test_an_administrator_sees_everybodys_job_in_every_state(idle: Works, state: str) -> None:
    """D3, T-O1: what an owner is told of it; a stranger finds it in no list."""
    token = idle.create("copy")
    with idle.core.store.change(token) as job:
        STATES[state](job)
    lists = [idle.service.history, idle.service.active]
    listed = [[job.token for job in seen(by)] for by in (ADMIN, ANNA, BORIS) for seen in lists]
    here = [[token], []] if idle.job(token).state.ended else [[], [token]]

    assert idle.service.job(token, ADMIN) == idle.job(token)
    assert listed == here * 2 + [[], []]


def test_an_administrator_sees_and_cancels_everybodys_jobs(idle: Works) -> None:
    """D3; and a job lists only for its owner otherwise."""
    token = idle.create("copy")

    assert [job.token for job in idle.service.active(ADMIN)] == [token]
    assert [job.token for job in idle.service.active(ANNA)] == [token]
    assert idle.service.active(BORIS) == []
    assert idle.service.cancel(token, ADMIN).state is JobState.CANCELED


class AnyFilter:
    """A validator that accepts all instructions."""

    def check(self, instructions: Instructions) -> None:
        """Accept them."""


def test_only_an_administrator_sees_which_filters_there_are(idle: Works) -> None:
    """D3: those that somebody found who looked."""
    assert idle.service.filters(ADMIN) == ()
    copy = Plugin("acme", "", "", PluginState.READY, filters=(FilterInfo("urn:acme:copy", "Copy", "", 1.0),))
    with idle.core.filters.active(Catalogue((copy,)), AnyFilter()):
        listed = [idle.service.filters(by) for by in (ADMIN, ANNA)]

    assert listed == [("urn:acme:copy",), ()]


def test_the_repository_is_processing_while_a_job_is_in_hand(works: Works) -> None:
    """ws-dsc.md section 2.6; a caller learns it of the own jobs, an administrator of all."""
    before = works.service.state(ADMIN)
    token = works.start("sleep 60")
    works.await_trace(token, "sleep")
    during = [works.service.state(by) for by in (ADMIN, ANNA, BORIS)]
    works.service.cancel(token, ANNA)
    works.ended(token)

    assert before == "Idle"
    assert during == ["Processing", "Processing", "Idle"]
    assert [works.service.state(by) for by in (ADMIN, ANNA)] == ["Idle", "Idle"]


def test_the_state_for_a_caller_is_that_of_one_moment(idle: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that are in progress in turn: the caller never gets Idle."""
    store, at = idle.core.store, idle.core.clock.now()
    for _ in range(2):
        idle.service.end(idle.create("copy"), ANNA)
    first, second = (job.token for job in store.open_jobs())
    with store.change(second) as job:
        job.claim(at)

    def swap() -> None:
        with store.change(first) as job:
            job.claim(at)
        with store.change(second) as job:
            job.fail(JobReason.PROCESSING_FAILED, at)

    keys_of_two_jobs = [lambda: None] * 3  # a transaction for each, and one that finds no more
    monkeypatch.setattr(pages, "PAGE", 1)
    monkeypatch.setattr(store, "reading", between(store.reading, *keys_of_two_jobs, swap))

    assert idle.service.state(ANNA) == "Processing"


def test_an_identical_resend_is_stored_once(idle: Works) -> None:
    """DSP-032, DSP-036, O-9: success, and nothing more on the disk."""
    token = idle.create("copy")
    data = idle.send(token, 1)
    idle.send(token, 1, data)

    assert idle.job(token).images_received == 1
    assert len(list((idle.core.settings.storage.spool_dir / token).iterdir())) == 1


@pytest.mark.parametrize("other", [{"data": b"other bytes"}, {"format": "jfif"}])
def test_other_content_under_a_known_id_is_refused_and_the_first_kept(idle: Works, other: dict[str, Any]) -> None:
    """DSP-035, F-R21."""
    token = idle.create("copy")
    data = idle.send(token, 1)

    with pytest.raises(InvalidArgument) as refused:
        idle.send(token, 1, **({"data": data} | other))

    kept = idle.core.spool.path(idle.job(token).documents[0])
    assert refused.value.argument == "DocumentId"
    assert kept.read_bytes() == data
    assert list(kept.parent.iterdir()) == [kept]


def test_images_are_limited_in_number(core: Engine, settings: Settings) -> None:
    """The limit counts documents, not resends."""
    few = limited(settings, images_per_job=1)
    works = Works(few, ANNA)
    token = works.create("copy")
    data = works.send(token, 1)
    works.send(token, 1, data)

    with pytest.raises(InvalidArgument, match="at most 1 images"):
        works.send(token, 2)
    few.close()


def test_a_job_takes_no_image_after_its_end_and_none_after_its_cancel(idle: Works) -> None:
    """DSP-039, O-8: two different refusals, and no bytes kept."""
    ended, cancelled = idle.create("copy"), idle.create("copy")
    idle.service.end(ended, ANNA)
    idle.service.cancel(cancelled, ANNA)

    with pytest.raises(WrongState) as refused:
        idle.send(ended, 1)
    with pytest.raises(JobCanceled):
        idle.send(cancelled, 1)
    assert not isinstance(refused.value, JobCanceled)
    assert list(idle.core.settings.storage.spool_dir.iterdir()) == []


def test_a_job_that_ends_while_the_jobs_are_listed_is_listed_once(idle: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ended: active and ended jobs are read one after the other."""
    token = idle.create("copy")
    active = idle.service.active

    def ending_meanwhile(by: Principal) -> list[Job]:
        jobs = active(by)
        idle.service.cancel(token, ANNA)
        return jobs

    monkeypatch.setattr(idle.service, "active", ending_meanwhile)

    assert [(job.token, job.state) for job in idle.service.active_and_ended(ADMIN)] == [(token, JobState.CANCELED)]


def test_ending_twice_is_harmless_while_the_job_is_active(idle: Works) -> None:
    """O-12."""
    token = idle.create("copy")
    idle.service.end(token, ANNA)
    idle.service.end(token, ANNA)

    assert [event.kind for event in idle.service.events(token, ANNA)] == ["JobStateChanged", "JobStateChanged"]


def test_an_end_waits_for_the_image_that_is_still_on_its_way(idle: Works) -> None:
    """O-22: the last page is not lost."""
    token = idle.create("copy")
    order: list[str] = []

    def end() -> None:
        idle.service.end(token, ANNA)
        order.append("end")

    with idle.service.open_image(token, ANNA, 1, "png") as image:
        thread = threading.Thread(target=end)
        thread.start()
        image.write(b"page")
        thread.join(0.3)
        order.append("image")
    thread.join()

    assert order == ["image", "end"]
    assert idle.job(token).images_received == 1


def test_an_image_whose_job_is_cancelled_meanwhile_is_not_kept(idle: Works) -> None:
    """T-O5: cancel against SendImage has one winner."""
    token = idle.create("copy")

    with pytest.raises(JobCanceled), idle.service.open_image(token, ANNA, 1, "png") as image:
        image.write(b"page")
        idle.service.cancel(token, ANNA)

    assert idle.job(token).documents == []
    assert list(idle.core.settings.storage.spool_dir.iterdir()) == []


def test_a_held_job_waits_until_it_is_released(works: Works) -> None:
    """Pending-Held: an administrator's verb; it can be released and it runs."""
    works.core.scheduler._stopping = True  # so that the job is held before it is claimed
    works.core.scheduler.wake()
    works.core.scheduler._thread.join()  # it may be about to claim
    token = works.start("copy")
    works.service.hold(token, ADMIN)
    assert works.job(token).state is JobState.HELD
    works.service.release(token, ADMIN)

    assert works.job(token).state is JobState.PENDING


def test_a_device_that_falls_silent_loses_its_job_after_ten_minutes(settings: Settings, tmp_path: Path) -> None:
    """DSP-071, D4: Aborted and TimedOut; no filter ran; the images stay. Every image starts the time anew."""
    databases.migrated(settings.storage.url)
    clock = FakeClock()
    core = Engine(settings, AnyProcess(), clock)
    works = Works(core, ANNA)
    with core.running():
        token = works.create("copy")
        clock.advance(599)
        works.send(token, 1)
        clock.advance(599)
        works.send(token, 2)
        assert works.job(token).state is JobState.CREATING

        clock.advance(601)
        job = works.ended(token)

    assert (job.state, job.reasons) == (JobState.ABORTED, (JobReason.TIMED_OUT,))
    assert works.trace(token) == []
    assert all(core.spool.path(document).exists() for document in job.documents)
    core.close()


def test_an_upload_that_takes_long_is_not_silence(settings: Settings) -> None:
    """D4: the time starts anew with every byte received."""
    databases.migrated(settings.storage.url)
    clock = FakeClock()
    core = Engine(settings, AnyProcess(), clock)
    works = Works(core, ANNA)
    with core.running():
        token = works.create("copy")
        with core.service.open_image(token, ANNA, 1, "png") as image:
            clock.advance(601)
            assert list(core.sweeper.expire()) == []
            image.write(b"page")

        assert works.job(token).state is JobState.CREATING
    core.close()


def test_events_tell_a_jobs_life_in_order(works: Works) -> None:
    """I6, I28: each state once, the end last."""
    token = works.start("copy")
    works.ended(token)

    told = [
        event.fields.get("state") if event.kind != "ImageReceived" else "image"
        for event in works.service.events(token, ANNA)
    ]
    assert told == [
        "Creating",
        "image",
        "Pending",
        "Started",
        "Processing",
        "Processing",
        "CompletedSuccessfully",
        "Completed",
        "Completed",
    ]
    assert re.fullmatch(r"[0-9a-f]{64}", works.service.events(token, ANNA)[1].fields["sha256"])


def test_an_end_is_not_stored_before_its_uploads_are_over(idle: Works) -> None:
    """The verb yields what it waits for, and holds nothing meanwhile: the upload can still be committed."""
    token = idle.create("copy")
    image = idle.service.open_image(token, ANNA, 1, "png")
    steps = idle.service.end_steps(token, ANNA)
    wait = next(steps)
    assert not wait.event.done()
    assert idle.job(token).state is JobState.CREATING

    image.write(b"page")
    image.commit()
    assert wait.event.done()
    with pytest.raises(StopIteration):
        steps.send(True)

    assert idle.job(token).state is JobState.PENDING
    assert len(idle.job(token).documents) == 1


def test_an_end_whose_upload_takes_too_long_changes_nothing(idle: Works) -> None:
    """The device repeats it; the job goes on taking images."""
    token = idle.create("copy")
    image = idle.service.open_image(token, ANNA, 1, "png")
    steps = idle.service.end_steps(token, ANNA)
    next(steps)

    with pytest.raises(Unavailable, match="still being uploaded"):
        steps.send(False)
    assert idle.job(token).state is JobState.CREATING
    image.abort()
