"""TLS: where it is required, how it begins, and that its end is not the end of a mail."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

import mail_inlet
import pytest
from mail_inlet import RECIPIENT, Certified, mail, page, stuffed
from works import until


def test_tls_can_be_required(tmp_path: Path, certified: Certified) -> None:
    """Of devices, too."""
    settings = {"tls": "starttls", "certificate": str(certified.file), "require_tls": True}
    with mail_inlet.serving(tmp_path, settings) as inlet, inlet.client() as client:
        client.say("EHLO scanner")
        assert client.say("MAIL FROM:<a@b>") == "530 Must issue a STARTTLS command first"
        client.start_tls(certified.context)
        assert client.send(mail(page())).startswith("250")


def test_what_comes_in_the_clear_behind_starttls_is_not_read(tmp_path: Path, certified: Certified) -> None:
    """Else an attacker could put commands before those of the client (RFC 3207 section 4.2)."""
    settings = {"tls": "starttls", "certificate": str(certified.file)}
    with mail_inlet.serving(tmp_path, settings) as inlet, inlet.client() as client:
        client.say("EHLO scanner")
        client.channel.sendall(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@office.example>\r\n")
        assert client.reply().startswith("220 ")
        client.wrap(certified.context)

        assert client.say(f"RCPT TO:<{RECIPIENT}>") == "503 Error: send HELO first"


def test_tls_begins_once(tmp_path: Path, certified: Certified) -> None:
    """aiosmtpd would begin another one within the first."""
    settings = {"tls": "starttls", "certificate": str(certified.file)}
    with mail_inlet.serving(tmp_path, settings) as inlet, inlet.client() as client:
        client.say("EHLO scanner")
        client.start_tls(certified.context)
        assert "STARTTLS" not in client.say("EHLO scanner")

        assert client.say("STARTTLS") == "503 5.5.1 TLS is active"
        assert client.send(mail(page())).startswith("250")


@pytest.mark.parametrize("implicit", [False, True])
def test_an_end_of_tls_in_a_mail_is_no_end_of_the_mail(tmp_path: Path, certified: Certified, implicit: bool) -> None:
    """Neither a proper end nor one that an attacker forges by ending TCP."""
    settings = {"tls": "implicit" if implicit else "starttls", "certificate": str(certified.file)}
    with mail_inlet.serving(tmp_path, settings) as inlet:
        for proper in (True, False):
            with inlet.client(certified.context if implicit else None) as client:
                if not implicit:
                    client.say("EHLO scanner")
                    client.start_tls(certified.context)
                assert client.envelope().startswith("354")
                client.channel.sendall(stuffed(mail(page())))
                if proper:
                    assert isinstance(client.channel, ssl.SSLSocket)
                    with contextlib.suppress(ssl.SSLError, OSError):
                        client.channel.unwrap()
        until(lambda: inlet.leftovers() == [])
        assert inlet.server.jobs == []
