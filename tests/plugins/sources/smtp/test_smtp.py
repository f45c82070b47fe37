"""Mails become jobs, with real clients; what is acknowledged, and what is not."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import subprocess
import threading
from pathlib import Path

import mail_inlet
import pytest
from mail_inlet import LABELS, OTHER, RECIPIENT, Certified, MailInlet, mail, page, stuffed
from works import PATIENCE, until

from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.source.messages import (
    EndRequest,
    InletBusy,
    InletStarted,
    OpenRequest,
    PageRequest,
    Reply,
    Request,
    RequestLate,
    RequestRefused,
)
from postscan.plugins import Destination, SourceContext
from postscan.plugins.sources.smtp import Smtp, postscan_sources
from postscan.plugins.sources.smtp.settings import Settings


def answering(kind: type[Request], reply: type[Reply], times: int = 1, **fields: object):  # type: ignore[no-untyped-def]
    """Return an `on_request` that gives this reply to the first requests of a kind."""
    left = [times]

    def on_request(request: Request) -> Reply | None:
        if isinstance(request, kind) and left[0]:
            left[0] -= 1
            return reply(id=request.id, **fields)  # type: ignore[arg-type]
        return None

    return on_request


def send(inlet: MailInlet, content: bytes, *recipients: str, sender: str = "scanner@office.example") -> str:
    """Send a mail over a connection of its own."""
    with inlet.client() as client:
        return client.send(content, *recipients, sender=sender)


# --- what becomes a job -------------------------------------------------------------------------------------------


def test_a_mail_becomes_a_job_with_its_attachments_as_pages(inlet: MailInlet) -> None:
    """In their order, byte for byte; the device is proven by its address."""
    first, second = page(b"one"), page(b"two", 300_000)

    reply = send(inlet, mail(first, second, subject="Grüße"))

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


# --- what is acknowledged ---------------------------------------------------------------------------------------------


def test_nothing_is_acknowledged_before_it_is_stored(inlet: MailInlet) -> None:
    """The server takes its time with the end of the job; the reply comes after it."""
    asked, go_on = threading.Event(), threading.Event()

    def on_request(request: Request) -> None:
        if isinstance(request, EndRequest):
            asked.set()
            assert go_on.wait(PATIENCE)

    inlet.server.on_request = on_request
    with inlet.client() as client:
        assert client.envelope().startswith("354")
        client.channel.sendall(stuffed(mail(page())) + b".\r\n")
        assert asked.wait(PATIENCE)
        client.channel.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.channel.recv(1)
        client.channel.settimeout(PATIENCE)
        go_on.set()

        assert client.reply().startswith("250")


def test_the_same_mail_is_the_same_job(inlet: MailInlet) -> None:
    """Its client did not get the reply, perhaps; it gets it now. Another envelope or another mail is another job."""
    content = mail(page())

    assert [send(inlet, content)[:3] for _ in range(3)] == ["250"] * 3
    assert len(inlet.jobs()) == 1
    assert ("mail came again", {"job": "job-1", "source": "127.0.0.1"}) in inlet.log

    send(inlet, content, sender="other@office.example")
    send(inlet, content, OTHER)
    send(inlet, mail(page(), subject="another scan"))
    assert len(inlet.jobs()) == 4


def test_the_reply_gets_lost_and_the_mail_comes_again(inlet: MailInlet) -> None:
    """Cut off while the job is stored: it is stored all the same, once."""
    content = mail(page())
    ended = threading.Event()

    def on_request(request: Request) -> None:
        if isinstance(request, EndRequest) and not ended.is_set():
            client.reset()
            ended.set()

    inlet.server.on_request = on_request
    with inlet.client() as client:
        assert client.envelope().startswith("354")
        client.channel.sendall(stuffed(content) + b".\r\n")
        assert ended.wait(PATIENCE)
    inlet.server.wait_for_jobs(1)

    assert send(inlet, content).startswith("250")
    assert len(inlet.jobs()) == 1


@pytest.mark.parametrize("kind", [OpenRequest, PageRequest, EndRequest])
@pytest.mark.parametrize(
    ("full", "reply"),
    [(True, "452 4.3.1 the disk is full; try again later"), (False, "452 4.3.2 no room for a further job now; try")],
)
def test_a_busy_server_makes_the_client_come_again(
    inlet: MailInlet, kind: type[Request], full: bool, reply: str
) -> None:
    """Whenever it is busy; the next time there is one job."""
    content = mail(page())
    inlet.server.on_request = answering(kind, InletBusy, seconds=5.0, full=full)

    assert send(inlet, content).startswith(reply)
    assert inlet.jobs() == []
    assert send(inlet, content).startswith("250")
    assert [job.pages for job in inlet.jobs()] == [[page()]]


def test_what_the_server_refuses_is_refused_with_its_sentence(inlet: MailInlet) -> None:
    """The client does not come again; the log has it as well."""
    inlet.server.on_request = answering(OpenRequest, RequestRefused, reason="ann may not use this process")

    assert send(inlet, mail(page())) == "554 5.7.1 ann may not use this process"
    fields = {"source": "127.0.0.1", "reason": "ann may not use this process", "recipient": RECIPIENT}
    inlet.server.wait_for(lambda: ("mail rejected", fields) in inlet.log)


def test_a_job_that_is_cancelled_meanwhile_is_not_acknowledged(inlet: MailInlet) -> None:
    """The device shows the reply to whom scans."""
    inlet.server.on_request = answering(PageRequest, RequestLate, reason="cancelled by an administrator")

    assert send(inlet, mail(page())) == "554 5.7.1 the job was cancelled: cancelled by an administrator"


def test_the_death_of_the_server_makes_the_client_come_again(tmp_path: Path) -> None:
    """In the middle of a job: nobody knows its outcome."""
    with mail_inlet.serving(tmp_path) as inlet:

        def on_request(request: Request) -> None:
            if isinstance(request, EndRequest):
                inlet.server.die()

        inlet.server.on_request = on_request
        reply = send(inlet, mail(page()))

    assert reply[:3] in ("452", "421", "")


def test_a_client_that_is_killed_leaves_nothing(inlet: MailInlet, tmp_path: Path) -> None:
    """In the middle of a mail; it sends it again when it lives again."""
    (tmp_path / "mail").write_bytes(mail(page(size=3_000_000)))
    url = f"smtp://127.0.0.1:{inlet.port}"
    command = ["curl", "--silent", url, "--mail-from", "a@b.example", "--mail-rcpt", RECIPIENT]
    command += ["--upload-file", str(tmp_path / "mail")]

    with subprocess.Popen([*command, "--limit-rate", "500k"], stdout=subprocess.DEVNULL) as client:
        until(lambda: _files_without_a_name(inlet.server.started.workdir))
        client.kill()
    until(lambda: not _files_without_a_name(inlet.server.started.workdir))
    assert inlet.server.jobs == []

    assert subprocess.run(command, timeout=PATIENCE).returncode == 0
    assert [job.pages for job in inlet.server.jobs] == [[page(size=3_000_000)]]


def _files_without_a_name(folder: Path) -> list[str]:
    """Return the open files of this process that lie in a folder, and have more than a byte."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(descriptor.readlink())
            if target.startswith(f"{folder}/") and descriptor.stat().st_size:
                found.append(target)
    return found


# --- several recipients ----------------------------------------------------------------------------------------------


def test_each_recipient_is_a_job_of_its_own(inlet: MailInlet) -> None:
    """Two addresses of one destination are one."""
    assert send(inlet, mail(page()), RECIPIENT, OTHER, "LETTERS@scan.example", "d1").startswith("250")

    assert sorted(job.request.destination for job in inlet.jobs()) == ["d1", "d2"]
    assert len({job.request.key for job in inlet.jobs()}) == 2


def test_some_recipients_are_not_acknowledged_without_the_others(inlet: MailInlet) -> None:
    """The client sends the mail again; what is stored is not stored twice."""
    content = mail(page())

    def on_request(request: Request) -> Reply | None:
        late = isinstance(request, OpenRequest) and request.destination == "d2" and len(refused) < 1
        return refused.append(request) or InletBusy(id=request.id, seconds=1.0) if late else None  # type: ignore[func-returns-value]

    refused: list[Request] = []
    inlet.server.on_request = on_request
    reply = send(inlet, content, RECIPIENT, OTHER)

    assert reply.startswith(f"452 4.3.2 stored for {RECIPIENT}, not for {OTHER}: no room")
    assert send(inlet, content, RECIPIENT, OTHER).startswith("250")
    assert [job.request.destination for job in inlet.jobs()] == ["d1", "d2"]


def test_a_mail_has_few_recipients(tmp_path: Path) -> None:
    """What is above the limit gets a reply of its own; the others get their jobs."""
    with mail_inlet.serving(tmp_path, {"most_recipients": 1}) as inlet, inlet.client() as client:
        client.say("EHLO scanner")
        client.say("MAIL FROM:<a@b>")
        assert client.say(f"RCPT TO:<{RECIPIENT}>").startswith("250")
        assert client.say(f"RCPT TO:<{OTHER}>").startswith("452 4.5.3 ")
        assert client.say(f"RCPT TO:<{RECIPIENT}>").startswith("250")


# --- what is never a job -------------------------------------------------------------------------------------------


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
    assert send(inlet, content).startswith(reply)
    assert inlet.server.jobs == []


def test_a_mail_without_a_part_that_was_cut_is_no_job(inlet: MailInlet) -> None:
    """Cut at any byte by a server before this one, which ended it properly."""
    content = mail(page(b"one"), page(b"two"))
    with inlet.client() as client:
        replies = {client.send(content[:at] + b"\r\n")[:3] for at in range(len(content) - 80, len(content) - 3)}

    assert replies == {"554"}
    assert inlet.server.jobs == []


# --- what an administrator learns --------------------------------------------------------------------------------


def problems(inlet: MailInlet, tmp_path: Path, destinations: tuple[str, ...] = LABELS, **about: object) -> list[str]:
    """Return what the doctor would hear of an inlet at the port of this one."""
    settings = Settings(port=inlet.port, **about.pop("settings", {}))  # type: ignore[arg-type]
    started = InletStarted(
        plugin="smtp",
        inlet="mail",
        settings={},
        destinations=tuple(Destination(id=f"d{n}", label=label) for n, label in enumerate(destinations)),
        folder=tmp_path,
        workdir=tmp_path,
        **about,
    )
    with CancelSource() as source:
        inlet_seen = SourceContext(None, started, settings, source.token())  # type: ignore[arg-type]  # it calls no server
        return list(Smtp().diagnose(inlet_seen))


def test_the_doctor_finds_nothing_where_mails_are_received(inlet: MailInlet, tmp_path: Path) -> None:
    """It connects, and sends nothing."""
    assert problems(inlet, tmp_path, devices=("10.0.0.0/8",)) == []
    assert inlet.server.requests == []


def test_the_doctor_finds_what_keeps_mails_away(inlet: MailInlet, tmp_path: Path, certified: Certified) -> None:
    """Labels that no address can be made of, clients that cannot prove anything, another server at the port."""
    found = problems(inlet, tmp_path, ("書類",), settings={"host": "0.0.0.0"})
    assert found == [
        "the label '書類' gives no address of its own; expected a name for it in recipients",
        "no client can send: devices is empty, and passwords need TLS or allow_clear",
    ]

    implicit = {"tls": "implicit", "certificate": str(certified.file)}
    (found_tls,) = problems(inlet, tmp_path, settings=implicit)
    assert found_tls.startswith(f"no connection to 127.0.0.1:{inlet.port}: ")

    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=_greet, args=(other,), daemon=True).start()
        elsewhere = MailInlet(inlet.server, other.getsockname()[1])
        expected = f"another server answers at 127.0.0.1:{elsewhere.port}; expected a greeting with 220"
        assert problems(elsewhere, tmp_path, allow_clear=True) == [expected]


def _greet(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"SSH-2.0-other\r\n")


def test_the_source_is_installed_as_a_plugin() -> None:
    """By the name that the settings use."""
    (found,) = postscan_sources()

    assert isinstance(found, Smtp)
    assert list(found.requires()) == []
