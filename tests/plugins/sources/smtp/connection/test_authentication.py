"""Who may send: strangers, accounts and their passwords."""

from __future__ import annotations

import base64
import threading
from pathlib import Path

import mail_inlet
import pytest
from mail_inlet import RECIPIENT, mail, page
from works import PATIENCE

from postscan.core.filters.source.messages import InletBusy, PasswordRequest


def encoded(text: str) -> str:
    """Return a text in base64."""
    return base64.b64encode(text.encode()).decode()


def test_a_stranger_sends_nothing(tmp_path: Path) -> None:
    """Not even the name of a destination is confirmed."""
    with mail_inlet.serving(tmp_path, devices=()) as inlet, inlet.client() as client:
        assert "AUTH" not in client.say("EHLO scanner")
        for command in ("MAIL FROM:<a@b>", f"RCPT TO:<{RECIPIENT}>", "DATA", f"VRFY {RECIPIENT}"):
            assert client.say(command).startswith(("530 5.7.0 ", "252 2.5.2 "))


def test_no_password_is_taken_in_the_clear(tmp_path: Path) -> None:
    """Unless the settings of the inlet allow it; then the server hears how it came."""
    plain = "AUTH PLAIN " + encoded("\0ann\0secret")
    for clear in (False, True):
        home = tmp_path / str(clear)
        home.mkdir()
        with mail_inlet.serving(home, devices=(), accounts={"ann": "secret"}, allow_clear=clear) as inlet:
            with inlet.client() as client:
                assert ("AUTH LOGIN PLAIN" in client.say("EHLO scanner")) is clear
                assert client.say(plain)[:3] == ("235" if clear else "538")
                assert inlet.server.passwords == ([("ann", "secret")] if clear else [])
                if clear:
                    client.send(mail(page()))
            assert [job.request.proof for job in inlet.jobs()] == (["clear"] if clear else [])


@pytest.mark.parametrize(
    ("first", "more", "reply"),
    [
        ("AUTH PLAIN", [encoded("\0ann\0secret")], "235 2.7.0 Authentication successful"),
        ("AUTH PLAIN " + encoded("ann\0ann\0secret"), [], "235 2.7.0 Authentication successful"),
        ("AUTH LOGIN", [encoded("ann"), encoded("secret")], "235 2.7.0 Authentication successful"),
        ("AUTH LOGIN " + encoded("ann"), [encoded("secret")], "235 2.7.0 Authentication successful"),
        ("AUTH PLAIN " + encoded("\0ann\0wrong"), [], "535 5.7.8 Authentication credentials invalid"),
        ("AUTH LOGIN =", [encoded("")], "535 5.7.8 Authentication credentials invalid"),
        ("AUTH LOGIN", [encoded("a" * 400), encoded("secret")], "535 5.7.8 Authentication credentials invalid"),
        ("AUTH PLAIN " + encoded("boss\0ann\0secret"), [], "501 5.5.2 Cannot decode the response"),
        ("AUTH PLAIN nonsense!", [], "501 5.5.2 Cannot decode the response"),
        ("AUTH PLAIN " + encoded("ann"), [], "501 5.5.2 Cannot decode the response"),
        ("AUTH PLAIN =", [], "501 5.5.2 Cannot decode the response"),
        ("AUTH LOGIN", ["/w=="], "501 5.5.2 Cannot decode the response"),
        ("AUTH LOGIN", ["*"], "501 5.7.0 Auth aborted"),
        ("AUTH CRAM-MD5", [], "504 5.5.4 Unrecognized authentication type"),
        ("AUTH", [], "501 Not enough value"),
    ],
)
def test_account_and_password_are_read_as_the_standards_say(
    tmp_path: Path, first: str, more: list[str], reply: str
) -> None:
    """RFC 4616 and 4954; an account does not act for another one."""
    with (
        mail_inlet.serving(tmp_path, devices=(), accounts={"ann": "secret"}, allow_clear=True) as inlet,
        inlet.client() as client,
    ):
        client.say("EHLO scanner")
        replies = [client.say(line) for line in (first, *more)]

        assert [one[:4] for one in replies[:-1]] == ["334 "] * len(more)
        assert replies[-1] == reply
        assert client.say("NOOP").startswith("250")


def test_a_response_that_is_too_long_ends_the_connection(tmp_path: Path) -> None:
    """Its rest would be read as a command, and shown in the reply."""
    with mail_inlet.serving(tmp_path, devices=(), allow_clear=True) as inlet, inlet.client() as client:
        client.say("EHLO scanner")
        client.say("AUTH LOGIN")

        assert client.say("a" * 5000) == "500 5.5.6 the response is too long"
        assert client.reply() == ""


def test_devices_are_asked_in_the_words_that_they_wait_for(tmp_path: Path) -> None:
    """Some compare the challenges of LOGIN byte for byte."""
    with mail_inlet.serving(tmp_path, devices=(), allow_clear=True) as inlet, inlet.client() as client:
        client.say("EHLO scanner")

        assert client.say("AUTH LOGIN") == "334 " + encoded("Username:")
        assert client.say(encoded("ann")) == "334 " + encoded("Password:")


def test_wrong_passwords_end_the_connection(tmp_path: Path) -> None:
    """After three; each is in the log, without the password."""
    with mail_inlet.serving(tmp_path, devices=(), allow_clear=True) as inlet, inlet.client() as client:
        client.say("EHLO scanner")
        replies = [client.say("AUTH PLAIN " + encoded(f"\0ann\0wrong{n}")) for n in range(3)]

        assert [reply[:3] for reply in replies] == ["535", "535", "421"]
        assert client.reply() == ""
        inlet.server.wait_for(lambda: len(inlet.log) == 3)
        assert inlet.log == [("wrong password", {"source": "127.0.0.1", "user": "ann"})] * 3


def test_a_server_that_checks_no_passwords_now_makes_the_client_come_again(tmp_path: Path) -> None:
    """After too many wrong ones, for example."""
    with mail_inlet.serving(tmp_path, devices=(), allow_clear=True) as inlet, inlet.client() as client:
        inlet.server.on_request = lambda request: (
            InletBusy(id=request.id, seconds=9.0) if isinstance(request, PasswordRequest) else None
        )
        client.say("EHLO scanner")

        assert client.say("AUTH PLAIN " + encoded("\0ann\0secret")).startswith("454 4.7.0 ")


def test_a_password_that_is_checked_slowly_holds_up_nobody(tmp_path: Path) -> None:
    """Other connections go on meanwhile."""
    asked, go_on = threading.Event(), threading.Event()

    def on_request(request: object) -> None:
        if isinstance(request, PasswordRequest):
            asked.set()
            assert go_on.wait(PATIENCE)

    with mail_inlet.serving(tmp_path, allow_clear=True, accounts={"ann": "secret"}) as inlet:
        inlet.server.on_request = on_request
        with inlet.client() as slow, inlet.client() as other:
            slow.say("EHLO scanner")
            slow.channel.sendall(b"AUTH PLAIN " + encoded("\0ann\0secret").encode() + b"\r\n")
            assert asked.wait(PATIENCE)
            assert other.send(mail(page())).startswith("250")
            go_on.set()
            assert slow.reply().startswith("235")
