"""The server's side of an inlet in memory: it decides as the server does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from postscan.core.filters.source.messages import (
    AccountChecked,
    CancelRequest,
    Destination,
    EndRequest,
    FailRequest,
    InletBusy,
    InletStarted,
    JobOpened,
    KeyTaken,
    OpenRequest,
    PageRequest,
    PasswordRequest,
    RequestDone,
    RequestLate,
    RequestRefused,
    StateReply,
    StateRequest,
    ToldRequest,
)
from postscan.core.model.states import JobState
from postscan.plugins.testing.sources.origin import noise, page
from postscan.plugins.testing.sources.server import JobTable


class Desk:
    """A table, and short words for what a source asks."""

    def __init__(self, home: Path, **table: Any) -> None:
        self.table = JobTable({"anna": "right"}, **table)
        self.started = InletStarted(
            plugin="p",
            inlet="i",
            settings={},
            destinations=(Destination(id="d1", label="Scans"),),
            folder=home / "folder",
            workdir=home / "workdir",
            open_jobs=2,
        )
        self.started.workdir.mkdir()
        self.started.folder.mkdir()

    def ask(self, kind: Any, **fields: Any) -> Any:
        """Ask, and return the reply."""
        return self.table.reply(kind(id=1, **fields), self.started)

    def open(self, key: str = "k", destination: str = "d1") -> Any:
        """Open a job."""
        return self.ask(OpenRequest, key=key, destination=destination, proof="device", subject="s")

    def bring(self, job: str, content: bytes, **fields: Any) -> Any:
        """Bring a page."""
        (self.started.workdir / "page").write_bytes(content)
        return self.ask(PageRequest, job=job, path="page", **fields)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """One that examines pages."""
    return Desk(tmp_path, examined=True)


def test_a_key_is_one_job(desk: Desk) -> None:
    """Busy while it is open, taken when it has ended, free when it has failed."""
    first = desk.open()
    assert isinstance(first, JobOpened)
    assert isinstance(desk.open(), InletBusy)

    desk.ask(FailRequest, job=first.job, reason="cut")
    second = desk.open()
    assert isinstance(second, JobOpened)
    assert second.job != first.job
    desk.ask(EndRequest, job=second.job)
    assert desk.open() == KeyTaken(id=1, job=second.job)


def test_a_cancelled_key_stays_taken(desk: Desk) -> None:
    """The origin is told the same as if it were stored."""
    job = desk.open().job
    assert isinstance(desk.ask(CancelRequest, job=job, reason="no"), RequestDone)

    assert desk.open() == KeyTaken(id=1, job=job)


def test_more_jobs_than_the_inlet_may_have_open_are_busy(desk: Desk) -> None:
    """And the next one has room when one of them has ended."""
    jobs = [desk.open(key).job for key in ("a", "b")]
    assert isinstance(desk.open("c"), InletBusy)

    desk.ask(EndRequest, job=jobs[0])
    assert isinstance(desk.open("c"), JobOpened)


def test_a_destination_that_is_none_is_refused(desk: Desk) -> None:
    """Whatever the source has looked up."""
    assert isinstance(desk.open(destination="d2"), RequestRefused)


@pytest.mark.parametrize(
    ("content", "whole", "reply"),
    [
        (page(1), False, RequestDone),
        (page(1)[:-1], False, RequestRefused),
        (page(1)[:-1], True, RequestRefused),
        (noise(1), False, RequestRefused),
        (noise(1), True, RequestDone),
    ],
)
def test_a_page_that_is_cut_is_refused(desk: Desk, content: bytes, whole: bool, reply: type[object]) -> None:
    """What the structure says counts more than the protocol; where it says nothing, the protocol counts."""
    job = desk.open().job

    assert isinstance(desk.bring(job, content, whole=whole), reply)


def test_a_page_that_is_no_file_of_the_source_is_refused(desk: Desk) -> None:
    """A missing one, and a symbolic link."""
    job = desk.open().job
    (desk.started.workdir / "link").symlink_to("/etc/passwd")

    assert isinstance(desk.ask(PageRequest, job=job, path="missing"), RequestRefused)
    assert isinstance(desk.ask(PageRequest, job=job, path="link"), RequestRefused)


def test_nothing_more_comes_into_a_job_that_has_ended(desk: Desk) -> None:
    """But what the origin said to a cancel."""
    job = desk.open().job
    desk.table.jobs[0].state, desk.table.jobs[0].reason = JobState.CANCELED, "by an administrator"

    assert desk.bring(job, page(1)) == RequestLate(id=1, reason="by an administrator")
    assert isinstance(desk.ask(ToldRequest, job=job, outcome="stopped"), RequestDone)
    assert desk.ask(StateRequest, job=job) == StateReply(id=1, state="Canceled")
    assert isinstance(desk.ask(EndRequest, job="another"), RequestRefused)


def test_the_end_of_the_process_fails_its_open_jobs(desk: Desk) -> None:
    """And frees their keys."""
    ended, _left = desk.open("a").job, desk.open("b").job
    desk.ask(EndRequest, job=ended)
    desk.table.fail_open()

    assert [job.state for job in desk.table.jobs] == [JobState.PENDING, JobState.ABORTED]
    assert isinstance(desk.open("b"), JobOpened)


def test_a_password_is_right_or_wrong(desk: Desk) -> None:
    """By the table of the test."""
    right, wrong, unknown = (
        desk.ask(PasswordRequest, account=account, password=password)
        for account, password in (("anna", "right"), ("anna", "wrong"), ("ben", "right"))
    )

    assert [right, wrong, unknown] == [AccountChecked(id=1, right=right) for right in (True, False, False)]


def test_pages_differ_and_are_the_same_in_each_run() -> None:
    """By their content the contract test tells origins apart."""
    assert len({page(number) for number in range(50)} | {noise(number) for number in range(50)}) == 100
    assert (page(7), noise(7)) == (page(7), noise(7))
