"""What a source is told when its request is not carried out: one reply for each error of the service."""

from __future__ import annotations

import logging

import pytest
from asked_inlet import Inlet

from postscan.core.errors import (
    InvalidArgument,
    NotInstalled,
    OriginRefused,
    OutcomeUnknown,
    PostscanError,
    SpoolFull,
    StoreBusy,
    StoredProcessInvalid,
    StoreFull,
    Throttled,
    Unavailable,
)
from postscan.core.filters.source.messages import EndRequest, InletBusy, PasswordRequest, RequestRefused
from postscan.core.sources import replies
from postscan.core.sources.replies import AGAIN_SECONDS, BUSY_SECONDS, FULL_SECONDS
from postscan.core.store.store import Store

REQUEST = EndRequest(id=7, job="5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935")
LACK = NotInstalled("comparing passwords needs argon2-cffi", "sources")

LATER: list[tuple[PostscanError, float, bool]] = [
    (StoreBusy("x"), AGAIN_SECONDS, False),
    (OutcomeUnknown("x"), AGAIN_SECONDS, False),
    (StoreFull("x"), FULL_SECONDS, True),
    (SpoolFull("x"), FULL_SECONDS, True),
    (StoredProcessInvalid("x"), FULL_SECONDS, False),
    (LACK, FULL_SECONDS, False),
    (Throttled("anna", 42.0), 42.0, False),
    (Unavailable("x"), BUSY_SECONDS, False),
]
"""Errors, after how many seconds the origin may come again, and whether a disk is full."""

NEVER: list[PostscanError] = [
    OriginRefused("there is no such destination", "no destination 'payroll'"),
    InvalidArgument("ImageData", "", "a whole image"),
]


def store_no_job(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the database fail whenever a job is stored."""

    def fail(*_arguments: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(Store, "insert", fail)


@pytest.mark.parametrize(("error", "seconds", "full"), LATER, ids=lambda value: type(value).__name__)
def test_what_the_server_cannot_do_now_is_busy(error: PostscanError, seconds: float, full: bool) -> None:
    """T-S5: the origin was not acknowledged, and comes again."""
    assert replies.of_error(REQUEST, error) == InletBusy(id=7, seconds=seconds, full=full)


@pytest.mark.parametrize("error", NEVER, ids=lambda value: type(value).__name__)
def test_what_the_server_never_does_is_refused_with_the_sentence(error: PostscanError) -> None:
    """It may be shown at the origin; the detail for the audit trail is not in it."""
    reply = replies.of_error(REQUEST, error)

    assert reply == RequestRefused(id=7, reason=str(error))
    assert "payroll" not in reply.reason


def test_each_error_that_is_expected_has_its_reply() -> None:
    """The tables above have every kind, and no other."""
    shown = [*(error for error, _, _ in LATER), *NEVER]

    assert [kind for kind in replies.EXPECTED if not any(isinstance(error, kind) for error in shown)] == []
    assert [error for error in shown if not isinstance(error, replies.EXPECTED)] == []


@pytest.mark.parametrize(
    ("error", "full"),
    [(StoreBusy("x"), False), (StoreFull("x"), True), (SpoolFull("x"), True), (RuntimeError("x"), False)],
    ids=lambda value: type(value).__name__,
)
def test_a_job_that_cannot_be_stored_leaves_its_place(
    inlet: Inlet, monkeypatch: pytest.MonkeyPatch, error: Exception, full: bool
) -> None:
    """T-S4: whatever the error is, the origin comes again and finds a place."""
    store_no_job(monkeypatch, error)
    reply = inlet.open()

    assert isinstance(reply, InletBusy)
    assert reply.full is full
    assert inlet.places.taken("mail") == 0


def test_a_fault_of_the_server_is_logged_with_its_traceback_and_not_each_time(
    inlet: Inlet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """T-S4: an origin that comes again fills no log."""
    store_no_job(monkeypatch, RuntimeError("a fault"))
    found = [inlet.open() for _ in range(3)]
    (line,) = [record for record in caplog.records if record.message == "request of a source not handled"]

    assert [(type(reply), getattr(reply, "seconds", 0)) for reply in found] == [(InletBusy, FULL_SECONDS)] * 3
    assert (line.levelno, vars(line)["inlet"], vars(line)["request"]) == (logging.ERROR, "mail", "open")
    assert line.exc_info
    assert line.exc_info[0] is RuntimeError


def test_a_library_that_is_missing_is_logged_without_a_traceback(
    inlet: Inlet, caplog: pytest.LogCaptureFixture
) -> None:
    """An administrator installs it; the line says what."""
    inlet.sources.accounts.error = LACK
    for _ in range(3):
        reply = inlet.ask(PasswordRequest, account="anna", password="secret")
        assert isinstance(reply, InletBusy)
    (line,) = [record for record in caplog.records if record.message == "request of a source not handled"]

    assert (line.levelno, line.exc_info) == (logging.ERROR, None)
    assert vars(line)["reason"] == str(LACK)


def test_too_many_wrong_passwords_are_told_when_to_come_again(inlet: Inlet) -> None:
    """The limit is that of the accounts."""
    inlet.sources.accounts.error = Throttled("anna", 42.0)

    reply = inlet.ask(PasswordRequest, account="anna", password="guess")

    assert isinstance(reply, InletBusy)
    assert reply.seconds == 42.0
