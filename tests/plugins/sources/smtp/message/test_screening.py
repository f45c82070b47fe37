"""Mails of which no job is made."""

from __future__ import annotations

import pytest

from postscan.plugins.sources.smtp.message.screening import HOPS, screen
from postscan.plugins.sources.smtp.replies import Rejected


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("Auto-Submitted: auto-replied", "an automatic mail (Auto-Submitted: auto-replied)"),
        ("Auto-Submitted: auto-generated; owner-email=x", "an automatic mail (Auto-Submitted: auto-generated)"),
        ("AUTO-SUBMITTED:\r\n Auto-Notified (vacation)", "an automatic mail (Auto-Submitted: auto-notified)"),
        ("Precedence: bulk", "a mail of a mailing list"),
        ("Precedence: auto_reply", "a mail of a mailing list"),
        ("List-Id: Scans <scans.example.org>", "a mail of a mailing list"),
        ("X-Autoreply: yes", "an automatic reply"),
        ("X-Autorespond: Holidays", "an automatic reply"),
        ("Content-Type: multipart/report; report-type=delivery-status; boundary=b", "a report about another mail"),
        ("content-type: Multipart/Report", "a report about another mail"),
    ],
)
def test_no_job_is_made_of_what_programs_send(field: str, reason: str) -> None:
    """Else the answer to a mail of a job would be the next job. The reply says why."""
    with pytest.raises(Rejected) as caught:
        screen(f"Subject: s\r\n{field}\r\n\r\ntext".encode())

    assert caught.value.reply == f"554 5.7.1 no job is made of {reason}"


@pytest.mark.parametrize("field", ["Auto-Submitted: no", "Precedence: normal", "X-Mailer: bulk", "X-Autoreply: no"])
def test_a_scanner_may_say_that_it_is_none_of_these(field: str) -> None:
    """Its mail is taken."""
    assert screen(f"Subject: a scan\r\n{field}\r\n\r\ntext".encode()).subject == "a scan"


def test_what_is_said_in_the_text_does_not_count() -> None:
    """Fields end with the first empty line."""
    assert screen(b"Subject: s\r\n\r\nAuto-Submitted: auto-replied\r\n").subject == "s"
    assert screen(b"\r\nAuto-Submitted: auto-replied\r\n").subject == ""


def test_a_mail_has_passed_few_servers() -> None:
    """One that has passed more goes in a circle."""
    assert screen(b"Received: x\r\n" * HOPS).received == HOPS
    with pytest.raises(Rejected) as caught:
        screen(b"Received: x\r\n" * (HOPS + 1))

    assert caught.value.code == "554 5.4.6"


def test_the_fields_are_bounded() -> None:
    """No field is missed because others stand before it."""
    with pytest.raises(Rejected, match="more than 65,536 bytes"):
        screen(b"X: y\r\n" * 20_000 + b"Auto-Submitted: auto-replied\r\n\r\n")
