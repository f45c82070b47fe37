"""A short run of the outages, and what their verdicts see; the long form is `python -m campaigns outages`."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from smtp import Received

from campaigns import outages
from campaigns.outages import disks, verdicts
from campaigns.outages.database_outages import Locked
from campaigns.outages.disk_outages import FullDisk
from campaigns.outages.disks import MIB, NotPossible
from campaigns.outages.outage import Outage
from campaigns.outages.traffic import TEMPORARY, Record, Request
from campaigns.outages.verdicts import Verdict, Window
from campaigns.whole_job import Job

WINDOW = Window(10.0, 20.0)
MAIL = b"Message-ID: <one@postscan>\r\n\r\na page"


@pytest.mark.parametrize(
    "outage",
    [
        FullDisk("tmpfs", (".",), apart=False, seconds=1.0, prepared=("stopped", "withdrawn"), disk_bytes=48 * MIB),
        Locked("IMMEDIATE", seconds=1.0, prepared=("stopped",)),
    ],
    ids=lambda outage: outage.name,
)
def test_a_server_keeps_its_promises_in_an_outage_and_goes_on_after_it(outage: Outage) -> None:
    """F-R10, F-R12, F-R13, I1, I11, I20: every verdict is `kept`."""
    try:
        found = outages.observe(outage, most=60)  # a busy machine gets more time
    except NotPossible as error:
        pytest.skip(str(error))

    assert {one.promise: one.broken for one in found if one.broken} == {}
    assert len(found) == 7


def job(kind: str = "delivered") -> Job:
    """Return a job of no server."""
    made = Job(SimpleNamespace(), kind)
    made.token = "T"
    return made


def record(*requests: tuple[str, float, float, str], kind: str = "delivered") -> Record:
    """Return the record of one job that has ended; a request is its step, its begin, its seconds and its fault."""
    only = job(kind)
    return Record([only], [only], [Request(only, *one) for one in requests])


def is_kept(verdict: Verdict) -> bool:
    """Return whether the promise was kept."""
    return not verdict.broken


@pytest.mark.parametrize(("seconds", "kept"), [(5.0, True), (5.1, False)])
def test_a_response_that_takes_too_long_is_seen(seconds: float, kept: bool) -> None:
    """Only of those in the outage: the server may be busy before it."""
    found = record(("create", 1.0, 8.9, ""), ("create", 12.0, seconds, TEMPORARY))

    assert is_kept(verdicts.responses(found, WINDOW)) is kept


def test_a_request_without_an_answer_is_seen() -> None:
    """However the others fared."""
    found = record(("create", 12.0, 1.0, ""))
    found.broken.append("end of T (delivered) got no answer: ConnectionResetError()")

    assert not is_kept(verdicts.responses(found, WINDOW))


@pytest.mark.parametrize(("subcode", "kept"), [(TEMPORARY, True), ("dsp:ServerErrorInternalError", False)])
def test_a_fault_that_tells_a_device_to_give_up_is_seen(subcode: str, kept: bool) -> None:
    """Whenever it came."""
    found = verdicts.faults(record(("end", 21.0, 0.1, subcode), ("end", 22.0, 0.1, "")))

    assert is_kept(found) is kept
    assert "refused: 1 end; 1 stored by a repetition, at most 1 of one" in found.figure


@pytest.mark.parametrize(
    ("seconds", "subcode", "at_once", "kept"),
    [
        (1.0, "", True, True),
        (1.0, TEMPORARY, True, False),
        (1.0, TEMPORARY, False, True),
        (6.0, "", False, False),
    ],
)
def test_a_cancel_that_is_late_or_refused_without_need_is_seen(
    seconds: float, subcode: str, at_once: bool, kept: bool
) -> None:
    """On a full disk it is stored at once; where nothing can be stored it may be refused."""
    found = record(("cancel", 11.0, seconds, subcode), kind="stopped")

    assert is_kept(verdicts.cancels(found, WINDOW, at_once=at_once)) is kept


def test_an_outage_without_a_cancel_has_shown_nothing() -> None:
    """Where a cancel must be stored."""
    assert not is_kept(verdicts.cancels(record(("end", 11.0, 1.0, "")), WINDOW, at_once=True))


@pytest.mark.parametrize(("copies", "kept"), [(1, True), (2, False)])
def test_a_mail_that_came_twice_is_seen(copies: int, kept: bool) -> None:
    """By its Message-ID."""
    mails = [Received("a@b.example", ["c@d.example"], [], MAIL) for _ in range(copies)]

    assert is_kept(verdicts.deliveries(Record(), mails)) is kept


@pytest.mark.parametrize(("created", "kept"), [(21.0, True), (60.0, False), (math.inf, False)])
def test_a_server_that_does_not_go_on_is_seen(created: float, kept: bool) -> None:
    """The next job has half a minute."""
    found = record(("create", 12.0, 1.0, ""), ("create", created, 0.5, ""))

    assert is_kept(verdicts.recovery(found, WINDOW)) is kept


def test_a_job_that_does_not_end_is_seen() -> None:
    """However quickly the others go on."""
    found = record(("create", 12.0, 1.0, ""), ("create", 21.0, 1.0, ""))
    found.finished.clear()

    assert not is_kept(verdicts.recovery(found, WINDOW))


def test_what_a_machine_does_not_permit_never_counts_as_passed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit code is 2, and the reason is printed."""

    def refused() -> None:
        raise NotPossible("a mount namespace is not permitted here")

    monkeypatch.setattr(disks, "in_own_namespace", refused)
    code = outages.run("full-all-tmpfs")

    assert code == 2
    assert "full-all-tmpfs: NOT RUN: a mount namespace is not permitted here" in capsys.readouterr().out


def test_an_unknown_outage_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error is no campaign that went well."""
    assert outages.run("flood") == 2
    assert all(one.name in capsys.readouterr().out for one in outages.ALL[:1])
