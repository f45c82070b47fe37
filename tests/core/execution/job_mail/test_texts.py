"""The text of a mail about a job: it says what happened and what to do, and hostile names stay text."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from postscan.core.execution.job_mail.texts import is_due, message, one_line
from postscan.core.model.job import Job
from postscan.core.model.states import FilterVerb, JobReason, JobState
from postscan.core.store.callers import job_mail
from postscan.core.store.callers.job_mail import JobMail

AT = datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)
SENDER, ANNA = "postscan@fabrikam.example", "anna@fabrikam.example"
FIELDS = [
    "Auto-Submitted",
    "Content-Transfer-Encoding",
    "Content-Type",
    "Date",
    "From",
    "MIME-Version",
    "Message-ID",
    "Subject",
    "To",
]
Made = Callable[..., Job]


def about(job: Job, kind: str = "failed") -> JobMail:
    """Return the event that leads to a mail."""
    return JobMail(7, job.token, kind, job.user.sid, AT)


def sent(job: Job, kind: str = "failed", console: str = "") -> EmailMessage:
    """Return a mail as a reader's program parses it."""
    data = message(about(job, kind), job, SENDER, ANNA, console).as_bytes()
    assert max(map(len, data.splitlines())) < 998
    parsed = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def text(mail: EmailMessage) -> str:
    """Return what the reader reads."""
    content = mail.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


@pytest.mark.parametrize("reason", sorted(job_mail.FAILED))
def test_each_failure_has_its_sentence_and_a_remedy(job: Made, reason: JobReason) -> None:
    """A job that failed in another way would lead to a mail that says nothing."""
    one = job()
    one.state, one.reasons = JobState.ABORTED, (reason,)
    read = text(sent(one))

    assert is_due(about(one), one)
    assert read.startswith('Your scan "Invoice" of ')
    assert "failed. " in read
    assert "\nWhat to do: " in read


def test_a_mail_names_the_job_its_filters_and_its_page_in_the_console(job: Made) -> None:
    """The name of a filter is the last part of its dialect; its own sentence is not in the mail."""
    one = job("urn:acme:copy", "http://example.com/filter/email")
    one.end(AT)
    one.claim(AT)
    one.start(0, AT)
    one.report(0, FilterVerb.FAIL, AT, ["FileShareAccessDenied"], detail="password hunter2 was refused")
    one.finish(AT)
    read = text(sent(one, console="https://scans.fabrikam.example"))

    assert "Process: Invoices" in read
    assert "copy: failed (FileShareAccessDenied)" in read
    assert "email: not done" in read or "email: not begun" in read
    assert f"https://scans.fabrikam.example/jobs/{one.token}\n" in read
    assert "hunter2" not in read


def test_a_held_job_waits_for_its_release(job: Made) -> None:
    """Once it is released, or cancelled, the mail would be wrong."""
    one = job()
    one.end(AT)
    one.hold(AT)
    assert is_due(about(one, "held"), one)
    assert "is held" in sent(one, "held")["Subject"]
    one.release(AT)

    assert not is_due(about(one, "held"), one)


@pytest.mark.parametrize(
    "name",
    [
        "x\r\nBcc: eve@example.com",
        "x\n\nMIME-Version: 1.0",
        "=?utf-8?q?x=0D=0ABcc:_eve@example.com?=",
        "\u202egnp.exe",
        "\ud800",
        "<img src=x onerror=alert(1)>",
        "x" * 10_000,
        "Größe 日本語",
        "",
    ],
)
def test_a_hostile_name_adds_no_header_and_no_line(job: Made, name: str) -> None:
    """T-F7: the fields that arrive are those that were meant, each once."""
    one = job()
    one.document_root = one.process_name = name
    one.state, one.reasons = JobState.ABORTED, (JobReason.TIMED_OUT,)
    mail = sent(one)

    assert sorted(mail.keys()) == FIELDS
    assert (mail["To"], mail["From"]) == (ANNA, SENDER)
    assert mail["Subject"].startswith('Your scan "')
    assert "\n" not in mail["Subject"]
    assert "\u202e" not in text(mail) + mail["Subject"]
    assert len(text(mail)) < 1000
    assert "\nBcc" not in text(mail)


def test_a_mail_that_is_sent_again_is_the_same(job: Made) -> None:
    """A mailbox recognises the second copy by its Message-ID; another event leads to another one."""
    one = job()
    one.state, one.reasons = JobState.ABORTED, (JobReason.TIMED_OUT,)

    assert sent(one).as_bytes() == sent(one).as_bytes()
    assert sent(one)["Message-ID"] != sent(one, "held")["Message-ID"]
    assert sent(one)["Auto-Submitted"] == "auto-generated"


def test_a_long_name_is_cut_where_a_reader_sees_it() -> None:
    """With the sign for what is left out."""
    assert one_line("a\tb\x00 c") == "a b c"
    assert one_line("x" * 101) == "x" * 99 + "…"
