"""The requests of a source, one by one: what each does, and that each has one reply. T-S1 to T-S5."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
from asked_inlet import Inlet
from sourced import ADMIN, Sources, picture

from postscan.core.filters.source import messages
from postscan.core.filters.source.messages import (
    AccountChecked,
    CancelRequest,
    EndRequest,
    FailRequest,
    InletBusy,
    JobOpened,
    KeyTaken,
    LeaveRequest,
    PageRequest,
    PasswordRequest,
    Reply,
    Request,
    RequestDone,
    RequestRefused,
    StateReply,
    StateRequest,
)
from postscan.core.model.states import JobReason, JobState
from postscan.core.settings import Settings
from postscan.core.sources import intake as intakes
from postscan.core.sources.intake import LyingSource
from postscan.plugins.testing.runner import FakeClock

MIB = 1 << 20


# --- from the first request to the last ---------------------------------------------------------------------------


def test_an_origin_becomes_a_job(inlet: Inlet) -> None:
    """Opened, pages stored and durable, ended: the job is Pending, and the source has no job any more."""
    job = inlet.opened()
    replies = [inlet.page(job), inlet.page(job, picture(0)), inlet.ask(EndRequest, job=job)]

    found = inlet.sources.job(job)
    assert [type(reply) for reply in replies] == [RequestDone] * 3
    assert (found.state, [one.id for one in found.documents]) == (JobState.PENDING, [1, 2])
    assert [inlet.sources.core.spool.path(one).read_bytes() for one in found.documents] == [picture(), picture(0)]
    assert (inlet.jobs.number, inlet.places.taken("mail"), inlet.ended) == (0, 0, 1)


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


def test_a_page_that_is_given_is_moved(inlet: Inlet) -> None:
    """Its bytes are written once: in the spool is the file of the source, and no copy."""
    job, data = inlet.opened(), picture()
    file = inlet.workdir / "given"
    file.write_bytes(data)
    inode = file.stat().st_ino

    assert isinstance(inlet.ask(PageRequest, job=job, path="given", given=True), RequestDone)
    [document] = inlet.sources.job(job).documents
    stored = inlet.sources.core.spool.path(document)
    assert (stored.stat().st_ino, stored.read_bytes(), file.exists()) == (inode, data, False)
    assert (document.size, document.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_page_that_is_given_with_its_hash_is_not_hashed_again(inlet: Inlet) -> None:
    """So no byte of it is read at its end: whether the hash is right is looked at before a filter runs."""
    job, sha256 = inlet.opened(), "0" * 64
    (inlet.workdir / "given").write_bytes(picture())

    inlet.ask(PageRequest, job=job, path="given", given=True, sha256=sha256)
    assert [one.sha256 for one in inlet.sources.job(job).documents] == [sha256]


def test_a_page_that_is_copied_is_hashed_whatever_its_source_says(inlet: Inlet) -> None:
    """The copy is read in any case."""
    job, data = inlet.opened(), picture()

    assert isinstance(inlet.page(job, data, given=False, sha256="0" * 64), RequestDone)
    assert [one.sha256 for one in inlet.sources.job(job).documents] == [hashlib.sha256(data).hexdigest()]


def test_a_page_that_is_given_and_still_open_is_copied(inlet: Inlet) -> None:
    """T-S4: what its source writes afterwards is not in the job."""
    job, data = inlet.opened(), picture()
    with (inlet.workdir / "given").open("wb", buffering=0) as file:
        file.write(data)
        assert isinstance(inlet.ask(PageRequest, job=job, path="given", given=True), RequestDone)
        file.write(b"more")

    [document] = inlet.sources.job(job).documents
    assert inlet.sources.core.spool.path(document).read_bytes() == data


@pytest.mark.parametrize("data", [picture()[:-1], picture() + bytes(2_000_000)], ids=["cut", "too large"])
def test_a_page_that_is_given_and_refused_leaves_nothing(inlet: Inlet, data: bytes) -> None:
    """T-S2: neither in the spool nor where it was."""
    job = inlet.opened()
    inlet.sources.core.service.use(with_image_bytes(inlet.sources.core.settings, 1_000_000))

    assert isinstance(inlet.page(job, data, given=True), RequestRefused)
    assert (inlet.sources.job(job).documents, inlet.sources.spooled()) == ([], [])
    assert list(inlet.workdir.iterdir()) == []


def with_image_bytes(settings: Settings, most: int) -> Settings:
    """Return settings under which an image has at most so many bytes."""
    return settings.model_copy(update={"limits": settings.limits.model_copy(update={"image_bytes": most})})


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


def test_a_source_asks_for_the_state_of_a_job(inlet: Inlet) -> None:
    """After the block as well; of its own inlet."""
    job = inlet.opened()
    inlet.page(job)
    inlet.ask(EndRequest, job=job)

    state = inlet.ask(StateRequest, job=job)
    assert state == StateReply(id=state.id, state="Pending")
    assert isinstance(inlet.ask(StateRequest, job="unknown"), RequestRefused)


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
