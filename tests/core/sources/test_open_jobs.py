"""The jobs of a source between their first and their last request: whatever happens, each is ended or failed once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asked_inlet import Inlet
from sourced import ADMIN, picture
from works import until

from postscan.core.errors import OutcomeUnknown, StoreBusy
from postscan.core.filters.source.messages import (
    EndRequest,
    FailRequest,
    InletBusy,
    JobCancelled,
    KeyTaken,
    LeaveRequest,
    NoteRequest,
    Reply,
    RequestDone,
    RequestLate,
    RequestRefused,
    ToldRequest,
)
from postscan.core.model.job import JobToken
from postscan.core.model.principal import of_source
from postscan.core.model.states import JobState
from postscan.core.sources.page_file import PageFile
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock

# --- when the database fails in the middle ------------------------------------------------------------------------


class Outage:
    """Lets changes fail as long as it has an `error`: behind their commit if they are `stored`, else before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: type[StoreBusy] | None = None
        self.stored = False
        writing, outage = Store.writing, self

        @contextlib.contextmanager
        def interrupted(store: Store) -> Iterator[Any]:
            if outage.error is not None and not outage.stored:
                raise outage.error("the database does not answer")
            with writing(store) as db:
                yield db
            if outage.error is not None:
                raise outage.error("it is not known whether it committed")

        monkeypatch.setattr(Store, "writing", interrupted)


def test_an_end_that_is_not_stored_is_busy_and_the_origin_comes_again(
    inlet: Inlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-S5: not acknowledged, and no job: the same key is opened again when the database answers."""
    job = inlet.opened()
    inlet.page(job)
    outage = Outage(monkeypatch)
    outage.error = StoreBusy
    end, fail = inlet.ask(EndRequest, job=job), inlet.ask(FailRequest, job=job, reason="busy")
    early = inlet.places.taken("mail")
    outage.error = None
    inlet.jobs.fail_left()

    assert [type(end), type(fail), early] == [InletBusy, InletBusy, 1]
    assert inlet.sources.job(job).state is JobState.ABORTED
    assert (inlet.places.taken("mail"), inlet.jobs.has_unfailed) == (0, False)
    assert inlet.opened() != job


def test_an_end_whose_outcome_is_unknown_is_busy_and_the_key_is_taken_then(
    inlet: Inlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-S3, T-S5: it was stored. The source fails it, which changes nothing; the origin comes again, and is known."""
    job = inlet.opened()
    inlet.page(job)
    outage = Outage(monkeypatch)
    outage.error, outage.stored = OutcomeUnknown, True
    end = inlet.ask(EndRequest, job=job)
    outage.error = None
    fail = inlet.ask(FailRequest, job=job, reason="busy")

    assert isinstance(end, InletBusy)
    assert isinstance(fail, RequestLate)
    assert inlet.sources.job(job).state is JobState.PENDING
    assert isinstance(inlet.open(), KeyTaken)
    assert inlet.places.taken("mail") == 0


def test_a_page_whose_outcome_is_unknown_is_no_page_of_another_number(
    inlet: Inlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row may be there: the same page again is the same document, and its file stays."""
    job = inlet.opened()
    outage = Outage(monkeypatch)
    outage.error, outage.stored = OutcomeUnknown, True
    first = inlet.page(job)
    outage.error = None
    second = inlet.page(job)
    inlet.ask(EndRequest, job=job)

    assert [type(first), type(second)] == [InletBusy, RequestDone]
    assert [one.id for one in inlet.sources.job(job).documents] == [1]
    for document in inlet.sources.job(job).documents:
        assert inlet.sources.core.spool.path(document).read_bytes() == picture()


def test_a_job_that_cannot_be_failed_yet_is_failed_once(inlet: Inlet, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-S2: its place and its key are free when it has failed, and not before."""
    job = inlet.opened()
    inlet.page(job)
    outage = Outage(monkeypatch)
    outage.error = StoreBusy
    inlet.jobs.fail_all("its source ended")
    inlet.jobs.fail_left()
    during = (inlet.jobs.number, inlet.places.taken("mail"), inlet.jobs.has_unfailed, inlet.sources.job(job).state)
    outage.error = None
    held = inlet.open()
    inlet.jobs.fail_left()
    inlet.jobs.fail_left()

    assert during == (0, 1, True, JobState.CREATING)
    assert isinstance(held, InletBusy)
    assert (inlet.places.taken("mail"), inlet.jobs.has_unfailed) == (0, False)
    assert inlet.sources.core.service.audit(ADMIN, job)[-1].detail == "its source ended"
    assert inlet.opened() != job


# --- when it is not known whether a job was opened -------------------------------------------------------------------


def open_without_outcome(inlet: Inlet, monkeypatch: pytest.MonkeyPatch, *, stored: bool) -> list[JobToken]:
    """Let the COMMIT of an open fail without an outcome; return the job that is there if it is *stored*."""
    outage = Outage(monkeypatch)
    outage.error, outage.stored = OutcomeUnknown, stored
    reply = inlet.open()
    outage.error = None

    assert isinstance(reply, InletBusy)
    return [job.token for job in inlet.sources.core.service.active(ADMIN)]


@pytest.mark.parametrize("stored", [True, False])
def test_an_open_whose_outcome_is_unknown_is_one_job_when_the_origin_comes_again(
    inlet: Inlet, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    """T-S3: a job whose token its source does not have keeps neither the key nor a place."""
    before = open_without_outcome(inlet, monkeypatch, stored=stored)
    job = inlet.opened()
    inlet.page(job)
    inlet.ask(EndRequest, job=job)

    assert [inlet.sources.job(token).state for token in before] == [JobState.ABORTED] * stored
    assert [one.token for one in inlet.sources.core.service.active(ADMIN)] == [job]
    assert isinstance(inlet.open(), KeyTaken)
    assert inlet.places.taken("mail") == 0


def test_the_job_of_such_an_open_gets_no_page_of_another_sender(inlet: Inlet, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-S1: a key is the inlet's, so that another sender may come with it."""
    (first,) = open_without_outcome(inlet, monkeypatch, stored=True)
    second = inlet.opened(subject="10.0.0.10")

    assert inlet.sources.job(second).owner == of_source("mail", "10.0.0.10")
    assert inlet.sources.job(first).state is JobState.ABORTED
    assert inlet.sources.core.service.audit(ADMIN, first)[-1].detail == "its source has no token of it"


def test_the_job_of_such_an_open_keeps_its_key_if_it_is_cancelled(
    inlet: Inlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator sees it, and does not want it."""
    (job,) = open_without_outcome(inlet, monkeypatch, stored=True)
    inlet.sources.core.service.cancel(job, ADMIN)
    reply = inlet.open()

    assert isinstance(reply, KeyTaken)
    assert reply.job == job


def test_a_job_that_its_source_has_opened_is_not_ended_by_the_same_key(
    inlet: Inlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one was lost, the second one takes pages, and a third connection brings the same."""
    open_without_outcome(inlet, monkeypatch, stored=True)
    job = inlet.opened()
    reply = inlet.open()

    assert isinstance(reply, InletBusy)
    assert inlet.sources.job(job).state is JobState.CREATING


def test_a_note_that_cannot_be_stored_now_is_busy_and_may_come_again(
    inlet: Inlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for one that is there already."""
    job, outage = inlet.opened(), Outage(monkeypatch)
    outage.error = StoreBusy
    assert isinstance(inlet.ask(NoteRequest, job=job, text="no colour"), InletBusy)

    outage.error = None
    assert isinstance(inlet.ask(NoteRequest, job=job, text="no colour"), RequestDone)
    assert inlet.sources.core.service.notes(job, ADMIN) == ("no colour",)


# --- what happens beside the requests -----------------------------------------------------------------------------


def test_a_source_is_told_when_others_cancel_its_job(inlet: Inlet) -> None:
    """Once; what it asks of the job then is late, and its place is free when it has closed it."""
    job = inlet.opened()
    inlet.page(job)
    inlet.sources.core.service.cancel(job, ADMIN)
    notices = [inlet.notices() for _ in range(2)]
    late = [inlet.ask(LeaveRequest, job=job, bytes=1), inlet.page(job), inlet.ask(EndRequest, job=job)]
    told = inlet.ask(ToldRequest, job=job, outcome="stopped")

    assert notices == [[JobCancelled(job=job, reason="the job was cancelled")], []]
    assert [(type(one), getattr(one, "reason", "")) for one in late] == [
        (RequestLate, "the job was cancelled"),
    ] * 3
    assert isinstance(told, RequestDone)
    assert inlet.places.taken("mail") == 0
    assert inlet.sources.spooled() == []


def test_a_source_that_is_late_is_told_so_before_the_notice(inlet: Inlet) -> None:
    """The job is cancelled while its page is on the way."""
    job = inlet.opened()
    inlet.sources.core.service.cancel(job, ADMIN)

    reply = inlet.page(job)

    assert isinstance(reply, RequestLate)
    assert reply.reason == "the job is Canceled"


def test_a_cancelled_job_that_its_source_does_not_close_gives_its_place_back(inlet: Inlet, clock: FakeClock) -> None:
    """T-S4: after the time that a silent origin has."""
    job = inlet.opened()
    inlet.sources.core.service.cancel(job, ADMIN)
    inlet.notices()
    clock.advance(29)
    inlet.jobs.forget_late()
    before = inlet.places.taken("mail")
    clock.advance(2)
    inlet.jobs.forget_late()

    assert (before, inlet.places.taken("mail")) == (1, 0)


def test_a_silent_origin_loses_its_job(inlet: Inlet, clock: FakeClock) -> None:
    """T-S2: Aborted, its key is free, and the source is told."""
    job = inlet.opened()
    clock.advance(31)
    list(inlet.sources.core.sweeper.expire())
    notices = inlet.notices()
    late = inlet.ask(EndRequest, job=job)

    assert notices == [JobCancelled(job=job, reason="the job is Aborted")]
    assert isinstance(late, RequestRefused | RequestLate)
    assert inlet.opened()


def test_the_end_of_the_process_fails_what_is_open(inlet: Inlet) -> None:
    """T-S2: whatever it had sent of them. What was ended stays."""
    ended = inlet.opened("1")
    inlet.page(ended)
    inlet.ask(EndRequest, job=ended)
    half = inlet.opened("2")
    inlet.page(half)
    inlet.jobs.fail_all("its source ended")

    assert [inlet.sources.job(token).state for token in (ended, half)] == [JobState.PENDING, JobState.ABORTED]
    assert inlet.places.taken("mail") == 0
    assert inlet.sources.core.service.audit(ADMIN, half)[-1].detail == "its source ended"


class WatchedLock:
    """The lock of a job; `waited_for` is set when a request finds it taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.waited_for = threading.Event()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.waited_for.set()
            self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


def test_requests_about_one_job_come_one_after_the_other(inlet: Inlet, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-S4: a failure does not overtake the page before it, whatever threads the source uses."""
    job = inlet.opened()
    lock = inlet.jobs._jobs[job].lock = WatchedLock()
    copying, go_on = threading.Event(), threading.Event()
    chunks = PageFile.chunks

    def slowly(page: Any) -> Iterator[bytes]:
        copying.set()
        go_on.wait()
        yield from chunks(page)

    monkeypatch.setattr(PageFile, "chunks", slowly)
    replies: list[Reply] = []
    page = threading.Thread(target=lambda: replies.append(inlet.page(job)))
    fail = threading.Thread(target=lambda: replies.append(inlet.ask(FailRequest, job=job, reason="reset")))
    page.start()
    copying.wait()
    fail.start()
    until(lambda: lock.waited_for.is_set() or not fail.is_alive())
    go_on.set()
    page.join()
    fail.join()

    assert [type(reply) for reply in replies] == [RequestDone, RequestDone]
    assert inlet.sources.job(job).state is JobState.ABORTED
    assert len(inlet.sources.job(job).documents) == 1
