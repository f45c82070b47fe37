"""Mails become jobs, from real clients: over TLS or in the clear, one or several, in each transfer encoding."""

from __future__ import annotations

import smtplib
import subprocess
from pathlib import Path

import mail_inlet
import pytest
from mail_inlet import OTHER, RECIPIENT, Certified, MailInlet, mail, page, stuffed
from works import PATIENCE

from postscan.core.filters.source.messages import PageRequest
from postscan.plugins.sources.smtp import Smtp, postscan_sources


def test_a_mail_becomes_a_job_with_its_attachments_as_pages(inlet: MailInlet) -> None:
    """In their order, byte for byte; the device is proven by its address."""
    first, second = page(b"one"), page(b"two", 300_000)

    reply = inlet.send(mail(first, second, subject="Grüße"))

    assert reply == "250 2.0.0 The scan is stored"
    (job,) = inlet.jobs()
    assert job.pages == [first, second]
    assert job.whole == [True, True]
    opened = job.request
    assert (opened.destination, opened.proof, opened.subject, opened.account) == ("d1", "device", "127.0.0.1", "")
    assert (opened.name, opened.remember_seconds) == ("Grüße", 86_400)


def test_a_mail_of_swaks_becomes_a_job(inlet: MailInlet, tmp_path: Path) -> None:
    """A client that administrators test mail servers with."""
    (tmp_path / "scan.png").write_bytes(page())
    command = ["swaks", "--server", f"127.0.0.1:{inlet.port}", "--from", "scanner@office.example", "--to", RECIPIENT]

    done = subprocess.run(
        [*command, "--attach-type", "image/png", "--attach", f"@{tmp_path / 'scan.png'}"],
        capture_output=True,
        timeout=PATIENCE,
    )

    assert done.returncode == 0, done.stdout
    assert [job.pages for job in inlet.jobs()] == [[page()]]


def test_a_mail_of_curl_over_tls_becomes_a_job(tmp_path: Path, certified: Certified) -> None:
    """With STARTTLS, a password, and the options that a relay sends."""
    (tmp_path / "mail").write_bytes(mail(page()))
    settings = {"tls": "starttls", "certificate": str(certified.file), "require_tls": True}
    with mail_inlet.serving(tmp_path, settings, devices=(), accounts={"ann": "sécret"}) as inlet:
        command = ["curl", "--silent", "--show-error", f"smtp://127.0.0.1:{inlet.port}", "--ssl-reqd", "--insecure"]
        command += ["--user", "ann:sécret", "--mail-from", "a@b.example", "--mail-rcpt", RECIPIENT]

        done = subprocess.run(
            [*command, "--upload-file", str(tmp_path / "mail")], capture_output=True, timeout=PATIENCE
        )

        assert done.returncode == 0, done.stderr
        (job,) = inlet.jobs()
        assert (job.request.proof, job.request.subject, job.request.account) == ("password", "ann", "ann")
        assert job.pages == [page()]


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "plain", "Login"])
def test_a_mail_over_tls_with_a_password_becomes_a_job(
    tmp_path: Path, certified: Certified, implicit: bool, mechanism: str
) -> None:
    """Both ways to begin TLS, and both mechanisms, in whatever case devices write them."""
    settings = {"tls": "implicit" if implicit else "starttls", "certificate": str(certified.file)}
    with mail_inlet.serving(tmp_path, settings, devices=(), accounts={"ann": "secret"}) as inlet:
        client: smtplib.SMTP
        if implicit:
            client = smtplib.SMTP_SSL("127.0.0.1", inlet.port, context=certified.context, timeout=PATIENCE)
        else:
            client = smtplib.SMTP("127.0.0.1", inlet.port, timeout=PATIENCE)
        with client:
            if not implicit:
                client.starttls(context=certified.context)
            client.ehlo()
            client.user, client.password = "ann", "secret"
            method = client.auth_plain if mechanism.upper() == "PLAIN" else client.auth_login
            client.auth(mechanism, method, initial_response_ok=mechanism.isupper())
            client.sendmail("a@b.example", [RECIPIENT], mail(page()))

        (job,) = inlet.jobs()
        assert (job.request.proof, job.request.account) == ("password", "ann")


def test_several_mails_come_over_one_connection(inlet: MailInlet) -> None:
    """Each with its own envelope; one that was rejected is no obstacle."""
    with inlet.client() as client:
        replies = [
            client.send(mail(*pages), subject) for pages, subject in (((page(b"1"),), RECIPIENT), ((), RECIPIENT))
        ]
        replies.append(client.send(mail(page(b"2")), OTHER))
        assert client.say("QUIT") == "221 Bye"

    assert [reply[:3] for reply in replies] == ["250", "554", "250"]
    assert [(job.request.destination, job.pages) for job in inlet.jobs()] == [
        ("d1", [page(b"1")]),
        ("d2", [page(b"2")]),
    ]


def test_a_client_may_send_ahead(inlet: MailInlet) -> None:
    """All commands of two mails at once (RFC 2920), each with its reply in order."""
    lines = ["EHLO scanner"]
    content = b""
    for number in (b"1", b"2"):
        content += "".join(
            f"{line}\r\n" for line in (*lines, "MAIL FROM:<a@b> SIZE=9", f"RCPT TO:<{RECIPIENT}>", "DATA")
        ).encode()
        content += stuffed(mail(page(number))) + b".\r\n"
        lines = []
    with inlet.client() as client:
        client.channel.sendall(content + b"QUIT\r\n")
        replies = [client.reply() for _ in range(10)]

    assert "250-PIPELINING" in replies[0]
    assert [reply[:3] for reply in replies] == ["250"] * 3 + ["354"] + ["250"] * 3 + ["354", "250", "221"]
    assert [job.pages for job in inlet.jobs()] == [[page(b"1")], [page(b"2")]]


def test_a_page_may_come_in_8_bits_and_in_one_long_line(inlet: MailInlet) -> None:
    """As 8BITMIME or without; lines have no limit, and dots at their start are those of the page."""
    content = page(b"\n.x\r\n.y\r\n..z\r\n" + b"\xff" * 100_000)
    head = b"Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n"

    with inlet.client() as client:
        assert client.say("EHLO scanner").startswith("250")
        assert client.say("MAIL FROM:<a@b> BODY=8BITMIME").startswith("250")
        assert client.say(f"RCPT TO:<{RECIPIENT}>").startswith("250")
        assert client.say("DATA").startswith("354")
        client.channel.sendall(head + content.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n")
        assert client.reply().startswith("250")

    assert inlet.jobs()[0].pages == [content + b"\r\n"]


def test_memory_does_not_grow_with_a_mail(tmp_path: Path) -> None:
    """The parts of a mail of 40 MB are never in memory together."""
    import tracemalloc

    content = mail(page(size=30_000_000))
    with mail_inlet.serving(tmp_path) as inlet:
        wire = stuffed(content) + b".\r\n"
        with inlet.client() as client:
            assert client.envelope().startswith("354")
            tracemalloc.start()
            try:
                client.channel.sendall(wire)
                inlet.server.wait_for(lambda: any(isinstance(one, PageRequest) for one in inlet.server.requests))
                _, most = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert client.reply().startswith("250")

    assert most < 60_000_000  # 30 of them are the page in the memory of the server's double


def test_each_recipient_is_a_job_of_its_own(inlet: MailInlet) -> None:
    """Two addresses of one destination are one."""
    assert inlet.send(mail(page()), RECIPIENT, OTHER, "LETTERS@scan.example", "d1").startswith("250")

    assert sorted(job.request.destination for job in inlet.jobs()) == ["d1", "d2"]
    assert len({job.request.key for job in inlet.jobs()}) == 2


def test_a_mail_has_few_recipients(tmp_path: Path) -> None:
    """What is above the limit gets a reply of its own; the others get their jobs."""
    with mail_inlet.serving(tmp_path, {"most_recipients": 1}) as inlet, inlet.client() as client:
        client.say("EHLO scanner")
        client.say("MAIL FROM:<a@b>")
        assert client.say(f"RCPT TO:<{RECIPIENT}>").startswith("250")
        assert client.say(f"RCPT TO:<{OTHER}>").startswith("452 4.5.3 ")
        assert client.say(f"RCPT TO:<{RECIPIENT}>").startswith("250")


def test_the_source_is_installed_as_a_plugin() -> None:
    """By the name that the settings use."""
    (found,) = postscan_sources()

    assert isinstance(found, Smtp)
    assert list(found.requires()) == []
