"""Mails over a real connection: TLS, login, and what a bad server does."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ANNA, AnyProcess
from databases import migrated
from smtp import CUT, HANG, MailServer, certified
from works import PATIENCE, SID, instructions, until

from postscan.core.engine import Engine
from postscan.core.execution.job_mail import texts
from postscan.core.execution.job_mail.smtp import (
    JobMailServer,
    MailPostponed,
    MailRefused,
    MailServerAway,
)
from postscan.core.settings import Settings
from postscan.core.settings.job_mail import JobMailSettings

MAIL = "anna@fabrikam.example"
SENDER = "postscan@fabrikam.example"


def settings_of(server: MailServer, **more: Any) -> dict[str, Any]:
    """Return the table for a mail server of the tests."""
    return {"host": "127.0.0.1", "port": server.port, "sender": SENDER, "seconds": PATIENCE} | more


def a_mail() -> Any:
    """Return some mail."""
    mail = texts.EmailMessage(policy=texts.SMTP)
    mail["From"], mail["To"], mail["Subject"] = SENDER, MAIL, "Your scan failed"
    mail.set_content("one\n.\n..two\n")
    return mail


def send(server: MailServer, **more: Any) -> None:
    """Send some mail to a server of the tests."""
    JobMailServer(JobMailSettings.model_validate(settings_of(server, **more))).send(a_mail())


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """How the server speaks TLS, and the file of its CA."""
    return certified(tmp_path_factory.mktemp("mail"))


def test_a_mail_arrives_as_it_was_written() -> None:
    """A line with a dot alone does not end it (T-F9)."""
    with MailServer() as server:
        send(server)
    (mail,) = server.messages

    assert (mail.sender, mail.recipients) == (SENDER, [MAIL])
    assert mail.parsed.get_content().replace("\r\n", "\n") == "one\n.\n..two\n"
    assert server.heard[-1] in (".", "QUIT")


@pytest.mark.parametrize("way", ["starttls", "implicit"])
def test_the_password_is_sent_over_tls_alone(tls: tuple[ssl.SSLContext, str], tmp_path: Path, way: str) -> None:
    """From a file, too."""
    context, ca_file = tls
    (tmp_path / "password").write_text("hunter2\n")
    login = {"user": "post", "password_file": str(tmp_path / "password"), "ca_file": ca_file, "tls": way}
    with MailServer(tls=context, implicit=way == "implicit", accounts={"post": "hunter2"}) as server:
        send(server, **login)

    assert (len(server.messages), server.encrypted, server.logins) == (1, [True], ["post"])


def test_tls_is_never_less_than_the_settings_say(tls: tuple[ssl.SSLContext, str]) -> None:
    """Neither without STARTTLS, nor with a certificate of another CA (T-F9)."""
    with MailServer() as plain, pytest.raises(MailServerAway):
        send(plain, tls="starttls", ca_file=tls[1])
    with MailServer(tls=tls[0]) as unknown, pytest.raises(MailServerAway, match="certificate"):
        send(unknown, tls="starttls")

    assert plain.messages == unknown.messages == []


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ({"RCPT": ["550 5.1.1 unknown"]}, MailRefused),
        ({"RCPT": ["450 4.2.1 full"]}, MailPostponed),
        ({".": ["554 5.7.1 spam"]}, MailRefused),
        ({".": ["451 4.3.0 later"]}, MailPostponed),
        ({"DATA": ["451 4.3.0 later"]}, MailPostponed),
        ({"MAIL": ["550 5.7.1 not from here"]}, MailServerAway),
        ({"RCPT": ["421 4.3.2 closing"]}, MailServerAway),
        ({"CONNECT": ["554 5.7.1 go away"]}, MailServerAway),
        ({"CONNECT": [CUT]}, MailServerAway),
        ({".": [CUT]}, MailServerAway),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else value.__name__,
)
def test_the_reply_says_whether_this_mail_is_refused_or_all_are(
    script: dict[str, list[str]], error: type[Exception]
) -> None:
    """For good, for now, or the server."""
    with MailServer(script) as server, pytest.raises(error):
        send(server)

    assert server.messages == []


def test_a_wrong_password_is_not_in_the_error(tls: tuple[ssl.SSLContext, str]) -> None:
    """The log has the reply of the server."""
    context, ca_file = tls
    with (
        MailServer(tls=context, accounts={"post": "right"}) as server,
        pytest.raises(MailServerAway, match="535") as refused,
    ):
        send(server, user="post", password="hunter2", ca_file=ca_file, tls="starttls")

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "."])
def test_a_server_that_says_nothing_more_holds_the_sender_for_its_time(verb: str) -> None:
    """It does not stop the other mails for ever."""
    with MailServer({verb: [HANG]}) as server, pytest.raises(MailServerAway):
        send(server, seconds=0.2)


def test_a_server_that_talks_without_end_holds_the_sender_for_its_time() -> None:
    """Each line of its greeting comes within the time of a reply; the whole mail has one, too."""
    lines = 0

    def greet(listener: socket.socket) -> None:
        nonlocal lines
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            while lines < 400:
                connection.sendall(b"220-and more\r\n")
                lines += 1
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        talks = threading.Thread(target=greet, args=(listener,))
        talks.start()
        settings = {"host": "127.0.0.1", "port": listener.getsockname()[1], "sender": SENDER, "seconds": 0.5}
        with pytest.raises(MailServerAway):
            JobMailServer(JobMailSettings.model_validate(settings)).send(a_mail())
        talks.join()

    assert 10 < lines < 400


def test_a_stop_ends_a_mail_that_is_being_sent() -> None:
    """A server that stops waits for no mail server."""
    with MailServer({"EHLO": [HANG]}) as server:
        mail = JobMailServer(JobMailSettings.model_validate(settings_of(server)))
        ended: list[str] = []

        def try_to_send() -> None:
            try:
                mail.send(a_mail())
            except MailServerAway as error:
                ended.append(str(error))

        thread = threading.Thread(target=try_to_send)
        thread.start()
        until(server.stuck.is_set, "for the server to say nothing more")
        mail.abort()
        thread.join(PATIENCE)

    assert len(ended) == 1


def test_a_running_server_tells_the_user_of_a_failed_job(settings: Settings) -> None:
    """From the first event to the mailbox, beside the jobs; with the address of the job in the console."""
    with MailServer() as server:
        users = {SID: {"name": MAIL, "mail": MAIL, "job_mail": True}}
        console = {"public_url": "https://scans.fabrikam.example"}
        table = {**dict(settings), "users": users, "job_mail": settings_of(server), "console": console}
        settings = Settings.model_validate(table)
        migrated(settings.storage.url)
        core = Engine(settings, AnyProcess())
        with core.running():
            token = core.service.create(ANNA, SID, "P", instructions("fail"))
            with core.service.open_image(token, ANNA, 1, "png") as image:
                image.write(b"page")
            core.service.end(token, ANNA)
            until(lambda: server.messages, "for the mail")
        core.close()
    (mail,) = server.messages

    assert mail.recipients == [MAIL]
    assert f"https://scans.fabrikam.example/jobs/{token}" in mail.parsed.get_content()
