"""What is never a job: mail for nobody, mail of a server, and mail without whole pages."""

from __future__ import annotations

import pytest
from mail_inlet import RECIPIENT, MailInlet, mail, page


def test_a_recipient_without_a_destination_is_unknown(inlet: MailInlet) -> None:
    """By its part before the @, and by the one behind it."""
    with inlet.client() as client:
        client.say("EHLO scanner")
        client.say("MAIL FROM:<a@b>")
        assert (
            client.say("RCPT TO:<nobody@scan.example>")
            == "550 5.1.1 nobody@scan.example is no destination of this server"
        )
        assert client.say("RCPT TO:<letters@elsewhere.example>").startswith("550 5.1.1 ")
        assert client.say("DATA").startswith("503")


def test_a_report_of_a_mail_server_is_no_job(inlet: MailInlet) -> None:
    """It has no sender (RFC 5321 section 4.5.5)."""
    with inlet.client() as client:
        client.say("EHLO scanner")

        assert client.say("MAIL FROM:<>") == "554 5.7.1 no job is made of a report about another mail"
        assert client.say(f"RCPT TO:<{RECIPIENT}>").startswith("503")


@pytest.mark.parametrize(
    ("content", "reply"),
    [
        (mail(page(), Auto_Submitted="auto-replied"), "554 5.7.1 no job is made of an automatic mail"),
        (mail(), "554 5.6.0 the mail has no attachment that is a page"),
        (mail(page()[:-1]), "554 5.6.0 scan1.png is cut: "),
        (mail(page())[:-40] + b"\r\n", "554 5.6.0 "),
        (mail(b"PK\x03\x04" + bytes(100)), "554 5.6.0 scan1.png is cut"),
        (mail(b"nothing known"), "554 5.6.0 scan1.png (image/png) is no page; expected PDF, JPEG"),
        (b"", "554 5.6.0 the mail has no attachment"),
        (b"\x00\xff\r\n" * 100, "554 5.6.0 the mail has no attachment"),
    ],
)
def test_a_mail_that_is_no_scan_is_rejected_with_a_sentence(inlet: MailInlet, content: bytes, reply: str) -> None:
    """And leaves nothing: no job was opened."""
    assert inlet.send(content).startswith(reply)
    assert inlet.server.jobs == []


def test_a_mail_with_too_many_fields_is_rejected_before_a_job_is_opened(inlet: MailInlet) -> None:
    """By their number and by their bytes; some more than any program writes are taken."""
    filler = b"X-Filler: y\r\n"

    assert inlet.send(filler * 1001 + mail(page())) == "554 5.6.0 the mail or a part of it has more than 1,000 fields"
    assert inlet.send(filler * 6000 + mail(page())) == "554 5.6.0 the fields of the mail have more than 65,536 bytes"
    assert inlet.server.requests == []
    assert inlet.send(filler * 900 + mail(page())).startswith("250")


def test_a_mail_without_a_part_that_was_cut_is_no_job(inlet: MailInlet) -> None:
    """Cut at any byte by a server before this one, which ended it properly."""
    content = mail(page(b"one"), page(b"two"))
    with inlet.client() as client:
        replies = {client.send(content[:at] + b"\r\n")[:3] for at in range(len(content) - 80, len(content) - 3)}

    assert replies == {"554"}
    assert inlet.server.jobs == []
