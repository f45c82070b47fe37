"""The requests of a source, one by one: what each does, and that each has one reply. T-S1 to T-S5."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sourced import ADDRESS, ADMIN, Sources, picture, with_sources
from works import until

from postscan.core.errors import OutcomeUnknown, SpoolFull, StoreBusy, StoreFull, Throttled
from postscan.core.filters.source import messages
from postscan.core.filters.source.messages import (
    AccountChecked,
    CancelRequest,
    EndRequest,
    FailRequest,
    InletBusy,
    JobCancelled,
    JobOpened,
    KeyTaken,
    LeaveRequest,
    OpenRequest,
    PageRequest,
    PasswordRequest,
    Reply,
    Request,
    RequestDone,
    RequestLate,
    RequestRefused,
    StateReply,
    StateRequest,
    ToldRequest,
)
from postscan.core.model.states import JobReason, JobState
from postscan.core.settings import Settings
from postscan.core.sources import intake as intakes
from postscan.core.sources.intake import IntakeParts, LyingSource, SourceIntake
from postscan.core.sources.places import JobPlaces
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock

MIB = 1 << 20


class Inlet:
    """The inlet `mail`, asked as a source does; each request has the next number."""

    def __init__(self, sources: Sources, home: Path, *, places: int = 10, name: str = "mail") -> None:
        self.sources = sources
        self.folder, self.workdir = home / "folder", home / "workdir"
        self.folder.mkdir(parents=True)
        self.workdir.mkdir()
        core = sources.core
        self.places = JobPlaces(places)
        parts = IntakeParts(
            sources.settings,
            core.service,
            sources.origins,
            sources.accounts,
            core.quota,
            self.places,
            core.clock,
        )
        self.jobs = 0
        self.intake = SourceIntake(parts, name, self.folder, self.workdir, self._count)
        self.intake.declared(("device", "password", "clear"))
        self._numbers = itertools.count(1)

    def _count(self) -> None:
        self.jobs += 1

    def ask(self, kind: type[Request], **fields: Any) -> Reply:
        """Return the reply to a request."""
        request = kind(id=next(self._numbers), **fields)
        reply = self.intake.handle(request)
        assert reply.id == request.id
        return reply

    def open(self, key: str = "1", **changed: Any) -> Reply:
        """Ask for a job."""
        fields = {"destination": self.sources.destination, "proof": "device", "subject": ADDRESS} | changed
        return self.ask(OpenRequest, key=key, **fields)

    def opened(self, key: str = "1", **changed: Any) -> str:
        """Open a job; return its token."""
        reply = self.open(key, **changed)
        assert isinstance(reply, JobOpened), reply
        return reply.job

    def page(self, job: str, data: bytes | None = None, **changed: Any) -> Reply:
        """Write a page into the workdir, and ask for it to be stored."""
        path = self.workdir / f"page-{next(self._numbers)}"
        path.write_bytes(picture() if data is None else data)
        return self.ask(PageRequest, job=job, **({"path": path.name} | changed))


@pytest.fixture
def sources(settings: Settings, migrated_url: str, clock: FakeClock) -> Iterator[Sources]:
    """Sources on each kind of database."""
    found = Sources(with_sources(settings, migrated_url), clock)
    yield found
    found.core.close()


@pytest.fixture
def inlet(sources: Sources, tmp_path: Path) -> Inlet:
    """The inlet of the test."""
    return Inlet(sources, tmp_path / "inlet")


# --- from the first request to the last ---------------------------------------------------------------------------


def test_an_origin_becomes_a_job(inlet: Inlet) -> None:
    """Opened, pages stored and durable, ended: the job is Pending, and the source has no job any more."""
    job = inlet.opened()
    replies = [inlet.page(job), inlet.page(job, picture(0)), inlet.ask(EndRequest, job=job)]

    found = inlet.sources.job(job)
    assert [type(reply) for reply in replies] == [RequestDone] * 3
    assert (found.state, [one.id for one in found.documents]) == (JobState.PENDING, [1, 2])
    assert [inlet.sources.core.spool.path(one).read_bytes() for one in found.documents] == [picture(), picture(0)]
    assert (inlet.intake.open_jobs, inlet.places.taken("mail"), inlet.jobs) == (0, 0, 1)


def test_a_page_of_the_kept_folder_is_stored_as_well(inlet: Inlet) -> None:
    """It stays there: the source removes it."""
    (inlet.folder / "kept").write_bytes(picture())
    job = inlet.opened()

    assert isinstance(inlet.ask(PageRequest, job=job, path="kept", kept=True), RequestDone)
    assert (inlet.folder / "kept").exists()
    assert isinstance(inlet.ask(PageRequest, job=job, path="kept", kept=False), RequestRefused)


def test_a_page_that_is_no_whole_image_leaves_nothing(inlet: Inlet) -> None:
    """T-S2: neither a row nor a file; the job takes another one."""
    job = inlet.opened()
    replies = [inlet.page(job, picture()[:-1]), inlet.page(job, b"text"), inlet.page(job, b"")]

    assert [type(reply) for reply in replies] == [RequestRefused] * 3
    assert (inlet.sources.job(job).documents, inlet.sources.spooled()) == ([], [])
    assert isinstance(inlet.page(job), RequestDone)
    assert [one.format for one in inlet.sources.job(job).documents] == ["png"]


def test_the_format_of_the_content_counts(inlet: Inlet, caplog: pytest.LogCaptureFixture) -> None:
    """D8: another one that the source has given is a warning."""
    job = inlet.opened()
    inlet.page(job, format="jfif")

    assert [one.format for one in inlet.sources.job(job).documents] == ["png"]
    assert caplog.messages == ["format of a page is not the given one"]


def test_a_job_without_a_page_is_not_ended(inlet: Inlet) -> None:
    """A source that has none cancels it."""
    job = inlet.opened()

    assert isinstance(inlet.ask(EndRequest, job=job), RequestRefused)
    assert inlet.sources.job(job).state is JobState.CREATING


def test_an_origin_that_breaks_off_frees_its_key_and_its_place(inlet: Inlet) -> None:
    """T-S2: Aborted, SendImageFailed; whole pages stay for an administrator."""
    job = inlet.opened()
    inlet.page(job)

    assert isinstance(inlet.ask(FailRequest, job=job, reason="reset"), RequestDone)

    found = inlet.sources.job(job)
    assert (found.state, found.reasons) == (JobState.ABORTED, (JobReason.SEND_IMAGE_FAILED,))
    assert len(inlet.sources.spooled()) == 1
    assert inlet.places.taken("mail") == 0
    assert inlet.opened() != job


def test_an_origin_cancels_its_job_while_it_sends(inlet: Inlet) -> None:
    """Canceled, its pages are removed, and its key stays taken."""
    job = inlet.opened()
    inlet.page(job)

    assert isinstance(inlet.ask(CancelRequest, job=job, reason="at the panel"), RequestDone)

    assert inlet.sources.job(job).state is JobState.CANCELED
    assert inlet.sources.spooled() == []
    assert isinstance(inlet.open(), KeyTaken)
    assert inlet.places.taken("mail") == 0


# --- once for each key --------------------------------------------------------------------------------------------


def test_a_key_is_opened_once_and_busy_until_it_is_ended(inlet: Inlet) -> None:
    """T-S3: then it is taken."""
    job = inlet.opened()
    second = inlet.open()
    inlet.page(job)
    inlet.ask(EndRequest, job=job)
    third = inlet.open()

    assert isinstance(second, InletBusy)
    assert isinstance(third, KeyTaken)
    assert third.job == job
    assert inlet.places.taken("mail") == 0


def test_of_two_opens_at_once_one_is_opened(inlet: Inlet) -> None:
    """T-S3: the other one is busy; no job is left behind."""
    both = threading.Barrier(2)
    replies: list[Reply] = []

    def ask() -> None:
        both.wait()
        replies.append(inlet.open())

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(type(reply).__name__ for reply in replies) == ["InletBusy", "JobOpened"]
    assert len(inlet.sources.core.service.active(ADMIN)) == 1


# --- a source that is not honest ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LeaveRequest, PageRequest, EndRequest, FailRequest, CancelRequest])
def test_a_job_that_was_not_opened_here_is_unknown(sources: Sources, tmp_path: Path, kind: type[Request]) -> None:
    """T-S4: one of another inlet, one that has ended, and one of a device alike."""
    inlet, other = Inlet(sources, tmp_path / "one"), Inlet(sources, tmp_path / "other", name="ftp")
    foreign = other.opened()
    ended = inlet.opened("2")
    inlet.page(ended)
    inlet.ask(EndRequest, job=ended)
    fields = {LeaveRequest: {"bytes": 1}, PageRequest: {"path": "x"}, FailRequest: {"reason": ""}}
    fields[CancelRequest] = {"reason": ""}
    before = [sources.job(token).version for token in (foreign, ended)]

    replies = [inlet.ask(kind, job=job, **fields.get(kind, {})) for job in (foreign, ended, "unknown")]

    assert {reply.reason for reply in replies if isinstance(reply, RequestRefused)} == {"there is no such job"}
    assert len(replies) == 3
    assert [sources.job(token).version for token in (foreign, ended)] == before


def test_a_proof_that_is_not_declared_ends_the_source(inlet: Inlet) -> None:
    """T-S1: it was not written for it."""
    with pytest.raises(LyingSource, match="'local', which it has not declared"):
        inlet.open(proof="local")


def test_a_password_counts_after_the_server_has_seen_it(inlet: Inlet) -> None:
    """T-S1: the right one, of this account, in this process; in any spelling that was sent."""
    claim = {"proof": "password", "subject": "Anna", "account": "Anna"}
    unsent = inlet.open(**claim)
    wrong = inlet.ask(PasswordRequest, account="Anna", password="guess")
    still = inlet.open(**claim)
    right = inlet.ask(PasswordRequest, account="Anna", password="secret", address="10.0.0.7")
    other = inlet.open(proof="password", subject="boris", account="boris")
    job = inlet.opened(**claim)

    assert [reply.reason for reply in (unsent, still, other) if isinstance(reply, RequestRefused)] == [
        "this account has not proven its password"
    ] * 3
    assert [reply.right for reply in (wrong, right) if isinstance(reply, AccountChecked)] == [False, True]
    assert inlet.sources.job(job).owner.name == "source:mail:anna"
    assert inlet.sources.accounts.addresses == ["", "10.0.0.7"]


def test_the_accounts_that_are_remembered_are_counted(inlet: Inlet, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-S4: nothing grows with what a source sends. The one that was proven longest ago is forgotten."""
    monkeypatch.setattr(intakes, "ACCOUNTS", 2)
    inlet.sources.accounts.passwords |= dict.fromkeys(("boris", "clara"), "secret")
    for account in ("anna", "boris", "anna", "clara"):
        inlet.ask(PasswordRequest, account=account, password="secret")

    opened = [inlet.open(name, proof="password", subject=name, account=name) for name in ("anna", "boris", "clara")]

    assert [type(reply) for reply in opened] == [JobOpened, RequestRefused, JobOpened]


def test_a_page_is_no_larger_than_an_image(sources: Sources, tmp_path: Path) -> None:
    """T-S4: no leave for it, and if it is written all the same, it is not stored."""
    limits = sources.settings.limits.model_copy(update={"image_bytes": MIB})
    small = Sources(sources.settings.model_copy(update={"limits": limits}))
    inlet = Inlet(small, tmp_path / "inlet")
    job = inlet.opened("large")
    leaves = [inlet.ask(LeaveRequest, job=job, bytes=messages.LEAVE) for _ in range(2)]
    page = inlet.page(job, picture(width=2000) + bytes(2 * MIB))

    assert [type(reply) for reply in leaves] == [RequestDone, RequestRefused]
    assert isinstance(page, RequestRefused)
    assert small.spooled() == []
    small.core.close()


# --- no room -------------------------------------------------------------------------------------------------------


def test_an_inlet_has_so_many_open_jobs(inlet: Inlet) -> None:
    """T-S4: and so have all together."""
    jobs = [inlet.opened(f"{number}") for number in range(4)]
    fifth = inlet.open("5")
    inlet.ask(CancelRequest, job=jobs[0], reason="")

    assert isinstance(fifth, InletBusy)
    assert not fifth.full
    assert inlet.opened("5")


def test_all_inlets_have_so_many_open_jobs(sources: Sources, tmp_path: Path) -> None:
    """T-S4: whatever each of them may have."""
    inlet = Inlet(sources, tmp_path / "one", places=2)
    inlet.opened("1")
    inlet.opened("2")

    assert isinstance(inlet.open("3"), InletBusy)


def test_no_job_is_opened_while_the_server_stops(inlet: Inlet) -> None:
    """Open ones get their last pages."""
    job = inlet.opened()
    inlet.intake.stop_opening()

    assert isinstance(inlet.open("2"), InletBusy)
    assert [type(inlet.page(job)), type(inlet.ask(EndRequest, job=job))] == [RequestDone, RequestDone]


def test_leave_is_room_of_the_owner_until_the_page_is_stored(sources: Sources, tmp_path: Path) -> None:
    """Full: the origin stops early, and hears of a full disk. The room comes back with the page, and with the job."""
    limits = sources.settings.limits.model_copy(update={"caller_bytes": 10 * MIB})
    small = Sources(sources.settings.model_copy(update={"limits": limits}))
    inlet = Inlet(small, tmp_path / "inlet")
    job, other = inlet.opened("first"), inlet.opened("second")

    def leave(job: str) -> Reply:
        return inlet.ask(LeaveRequest, job=job, bytes=messages.LEAVE)

    first, second = leave(job), leave(other)
    inlet.page(job)
    third = leave(other)
    inlet.ask(FailRequest, job=other, reason="")
    fourth = leave(job)

    assert [type(reply) for reply in (first, second, third, fourth)] == [
        RequestDone,
        InletBusy,
        RequestDone,
        RequestDone,
    ]
    assert isinstance(second, InletBusy)
    assert second.full
    small.core.close()


@pytest.mark.parametrize(
    ("error", "full"),
    [(StoreBusy("x"), False), (StoreFull("x"), True), (SpoolFull("x"), True), (RuntimeError("x"), False)],
    ids=lambda value: type(value).__name__,
)
def test_an_error_of_the_server_is_busy(
    inlet: Inlet, monkeypatch: pytest.MonkeyPatch, error: Exception, full: bool
) -> None:
    """The origin comes again: it was not acknowledged."""

    def fail(*_arguments: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(Store, "insert", fail)
    reply = inlet.open()

    assert isinstance(reply, InletBusy)
    assert reply.full is full
    assert inlet.places.taken("mail") == 0


def test_too_many_wrong_passwords_are_told_when_to_come_again(inlet: Inlet) -> None:
    """The limit is that of the accounts."""
    inlet.sources.accounts.error = Throttled("anna", 42.0)

    reply = inlet.ask(PasswordRequest, account="anna", password="guess")

    assert isinstance(reply, InletBusy)
    assert reply.seconds == 42.0


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
    inlet.intake.fail_left()

    assert [type(end), type(fail), early] == [InletBusy, InletBusy, 1]
    assert inlet.sources.job(job).state is JobState.ABORTED
    assert (inlet.places.taken("mail"), inlet.intake.has_unfailed) == (0, False)
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


# --- what happens beside the requests -----------------------------------------------------------------------------


def test_a_source_is_told_when_others_cancel_its_job(inlet: Inlet) -> None:
    """Once; what it asks of the job then is late, and its place is free when it has closed it."""
    job = inlet.opened()
    inlet.page(job)
    inlet.sources.core.service.cancel(job, ADMIN)
    notices = [inlet.intake.ended(inlet.sources.origins.ended(inlet.intake.tokens())) for _ in range(2)]
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
    inlet.intake.ended(inlet.sources.origins.ended(inlet.intake.tokens()))
    clock.advance(29)
    inlet.intake.forget_late()
    before = inlet.places.taken("mail")
    clock.advance(2)
    inlet.intake.forget_late()

    assert (before, inlet.places.taken("mail")) == (1, 0)


def test_a_slow_origin_is_no_silent_one(inlet: Inlet, clock: FakeClock) -> None:
    """Each leave counts, also one of no byte; it is stored now and then only."""
    job = inlet.opened()
    deadlines = []
    for _ in range(20):
        clock.advance(5)
        assert isinstance(inlet.ask(LeaveRequest, job=job, bytes=0), RequestDone)
        list(inlet.sources.core.sweeper.expire())
        deadlines.append(inlet.sources.job(job).deadline)

    assert inlet.sources.job(job).state is JobState.CREATING
    assert len(set(deadlines)) == 11


def test_a_silent_origin_loses_its_job(inlet: Inlet, clock: FakeClock) -> None:
    """T-S2: Aborted, its key is free, and the source is told."""
    job = inlet.opened()
    clock.advance(31)
    list(inlet.sources.core.sweeper.expire())
    notices = inlet.intake.ended(inlet.sources.origins.ended(inlet.intake.tokens()))
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
    inlet.intake.close("its source ended")

    assert [inlet.sources.job(token).state for token in (ended, half)] == [JobState.PENDING, JobState.ABORTED]
    assert inlet.places.taken("mail") == 0
    assert inlet.sources.core.service.audit(ADMIN, half)[-1].detail == "its source ended"


def test_a_source_asks_for_the_state_of_a_job(inlet: Inlet) -> None:
    """After the block as well; of its own inlet."""
    job = inlet.opened()
    inlet.page(job)
    inlet.ask(EndRequest, job=job)

    state = inlet.ask(StateRequest, job=job)
    assert state == StateReply(id=state.id, state="Pending")
    assert isinstance(inlet.ask(StateRequest, job="unknown"), RequestRefused)


def test_requests_about_one_job_come_one_after_the_other(inlet: Inlet, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-S4: an end does not overtake the page before it, whatever threads the source uses."""
    job = inlet.opened()
    inlet.page(job)
    copying, go_on = threading.Event(), threading.Event()
    chunks = intakes.pages.chunks

    def slowly(page: Any) -> Iterator[bytes]:
        copying.set()
        go_on.wait()
        yield from chunks(page)

    monkeypatch.setattr(intakes.pages, "chunks", slowly)
    page = threading.Thread(target=inlet.page, args=(job,))
    end = threading.Thread(target=lambda: inlet.ask(EndRequest, job=job))
    page.start()
    copying.wait()
    end.start()
    states = [inlet.sources.job(job).state]
    go_on.set()
    page.join()
    end.join()

    assert states == [JobState.CREATING]
    until(lambda: inlet.sources.job(job).state is JobState.PENDING)
    assert len(inlet.sources.job(job).documents) == 2
