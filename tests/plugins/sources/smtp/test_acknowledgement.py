"""What is acknowledged: a mail whose jobs are stored, and nothing else; the same mail again makes no second job."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from pathlib import Path

import mail_inlet
import pytest
from mail_inlet import OTHER, RECIPIENT, MailInlet, mail, page, stuffed
from works import PATIENCE, until

from postscan.core.filters.source.messages import (
    EndRequest,
    InletBusy,
    OpenRequest,
    PageRequest,
    Reply,
    Request,
    RequestLate,
    RequestRefused,
)


def answering(kind: type[Request], reply: type[Reply], times: int = 1, **fields: object):  # type: ignore[no-untyped-def]
    """Return an `on_request` that gives this reply to the first requests of a kind."""
    left = [times]

    def on_request(request: Request) -> Reply | None:
        if isinstance(request, kind) and left[0]:
            left[0] -= 1
            return reply(id=request.id, **fields)  # type: ignore[arg-type]
        return None

    return on_request


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

    assert [inlet.send(content)[:3] for _ in range(3)] == ["250"] * 3
    assert len(inlet.jobs()) == 1
    assert ("mail came again", {"job": "job-1", "source": "127.0.0.1"}) in inlet.log

    inlet.send(content, sender="other@office.example")
    inlet.send(content, OTHER)
    inlet.send(mail(page(), subject="another scan"))
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

    assert inlet.send(content).startswith("250")
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

    assert inlet.send(content).startswith(reply)
    assert inlet.jobs() == []
    assert inlet.send(content).startswith("250")
    assert [job.pages for job in inlet.jobs()] == [[page()]]


def test_what_the_server_refuses_is_refused_with_its_sentence(inlet: MailInlet) -> None:
    """The client does not come again; the log has it as well."""
    inlet.server.on_request = answering(OpenRequest, RequestRefused, reason="ann may not use this process")

    assert inlet.send(mail(page())) == "554 5.7.1 ann may not use this process"
    fields = {"source": "127.0.0.1", "reason": "ann may not use this process", "recipient": RECIPIENT}
    inlet.server.wait_for(lambda: ("mail rejected", fields) in inlet.log)


def test_a_job_that_is_cancelled_meanwhile_is_not_acknowledged(inlet: MailInlet) -> None:
    """The device shows the reply to whom scans."""
    inlet.server.on_request = answering(PageRequest, RequestLate, reason="cancelled by an administrator")

    assert inlet.send(mail(page())) == "554 5.7.1 the job was cancelled: cancelled by an administrator"


def test_the_death_of_the_server_makes_the_client_come_again(tmp_path: Path) -> None:
    """In the middle of a job: nobody knows its outcome."""
    with mail_inlet.serving(tmp_path) as inlet:

        def on_request(request: Request) -> None:
            if isinstance(request, EndRequest):
                inlet.server.die()

        inlet.server.on_request = on_request
        reply = inlet.send(mail(page()))

    assert reply[:3] in ("452", "421", "")


def test_some_recipients_are_not_acknowledged_without_the_others(inlet: MailInlet) -> None:
    """The client sends the mail again; what is stored is not stored twice."""
    content = mail(page())

    def on_request(request: Request) -> Reply | None:
        late = isinstance(request, OpenRequest) and request.destination == "d2" and len(refused) < 1
        return refused.append(request) or InletBusy(id=request.id, seconds=1.0) if late else None  # type: ignore[func-returns-value]

    refused: list[Request] = []
    inlet.server.on_request = on_request
    reply = inlet.send(content, RECIPIENT, OTHER)

    assert reply.startswith(f"452 4.3.2 stored for {RECIPIENT}, not for {OTHER}: no room")
    assert inlet.send(content, RECIPIENT, OTHER).startswith("250")
    assert [job.request.destination for job in inlet.jobs()] == ["d1", "d2"]


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
