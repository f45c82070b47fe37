"""The room for mails: the size of one and of all, the threads that make jobs of them, and the disk."""

from __future__ import annotations

import contextlib
import errno
import threading
from pathlib import Path
from typing import Any

import mail_inlet
import pytest
from mail_inlet import mail, page, stuffed
from works import PATIENCE, until

from postscan.core.filters.source.messages import EndRequest
from postscan.plugins.sources.smtp.incoming import disk_errors


def test_the_size_of_a_mail_is_limited(tmp_path: Path) -> None:
    """Announced, or when its end is there; the connection goes on, and no file is left."""
    with mail_inlet.serving(tmp_path, {"most_bytes": 100_000}) as inlet:
        with inlet.client() as client:
            assert "250-SIZE 100000" in client.say("EHLO scanner")
            assert client.say("MAIL FROM:<a@b> SIZE=100001").startswith("552 ")
            assert client.send(mail(page(size=200_000))) == "552 5.3.4 the mail has more than 100,000 bytes"
            assert client.send(mail(page())).startswith("250")
        until(lambda: inlet.leftovers() == [])


def test_the_size_of_all_mails_is_limited(tmp_path: Path) -> None:
    """Of one client to the half; it comes again when there is room, and others have the rest."""
    content = mail(page(size=300_000))
    settings = {"most_bytes": 500_000, "spool_bytes": 2_000_000}
    full = "452 4.3.1 too many mails at once; try again later"
    with mail_inlet.serving(tmp_path, settings, devices=("127.0.0.0/8",)) as inlet:

        def is_full() -> bool:
            with inlet.client() as client:
                client.say("EHLO scanner")
                return client.say("MAIL FROM:<a@b> SIZE=500000") == full

        with inlet.client() as slow, inlet.client() as slower, inlet.client() as same:
            for client in (slow, slower):
                assert client.envelope().startswith("354")
                client.channel.sendall(b"x" * 499_000)
            until(is_full)
            assert same.send(content) == full
            with inlet.client(address="127.0.0.2") as other:
                assert other.send(content).startswith("250")
        until(lambda: inlet.leftovers() == [])
        with inlet.client() as client:
            assert client.send(content).startswith("250")


def test_a_client_with_many_mails_leaves_a_thread_to_others(tmp_path: Path) -> None:
    """Its mails wait for one another."""
    go_on = threading.Event()

    def wait(request: object) -> None:
        if isinstance(request, EndRequest) and request.job != "job-4":
            assert go_on.wait(PATIENCE)

    with mail_inlet.serving(tmp_path, devices=("127.0.0.0/8",)) as inlet, contextlib.ExitStack() as stack:
        inlet.server.on_request = wait
        clients = [stack.enter_context(inlet.client()) for _ in range(5)]
        for number, client in enumerate(clients):
            assert client.envelope().startswith("354")
            client.channel.sendall(stuffed(mail(page(b"%d" % number))) + b".\r\n")
        inlet.server.wait_for(lambda: len(inlet.server.jobs) == 3)
        with inlet.client(address="127.0.0.2") as other:
            assert other.send(mail(page(b"other"))).startswith("250")
        go_on.set()
        assert [client.reply()[:3] for client in clients] == ["250"] * 5


def test_a_client_that_leaves_before_its_turn_makes_no_job(tmp_path: Path) -> None:
    """Its mail is removed."""
    go_on = threading.Event()

    def wait(_request: object) -> None:
        assert go_on.wait(PATIENCE)

    with mail_inlet.serving(tmp_path) as inlet, contextlib.ExitStack() as stack:
        inlet.server.on_request = wait
        clients = [stack.enter_context(inlet.client()) for _ in range(4)]
        for number, client in enumerate(clients):
            assert client.envelope().startswith("354")
            client.channel.sendall(stuffed(mail(page(b"%d" % number))) + b".\r\n")
            if number < 3:
                inlet.server.wait_for(lambda: len(inlet.server.requests) == number + 1)  # noqa: B023
        clients[3].reset()
        with inlet.client() as next_one:
            assert next_one.say("NOOP") == "250 OK"
        go_on.set()
        assert [client.reply()[:3] for client in clients[:3]] == ["250"] * 3
        assert len(inlet.server.jobs) == 3


@pytest.mark.parametrize(
    ("number", "reply"),
    [
        (errno.ENOSPC, "452 4.3.1 the disk is full; try again later"),
        (errno.EDQUOT, "452 4.3.1 the disk is full; try again later"),
        (errno.EIO, "451 4.3.0 the mail cannot be kept now; try again later"),
    ],
)
def test_a_disk_that_takes_no_mail_makes_the_client_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reply: str
) -> None:
    """The reply is that to the end of the mail, and the next mail is taken when the disk is."""
    with mail_inlet.serving(tmp_path) as inlet, inlet.client() as client:
        monkeypatch.setattr("postscan.plugins.sources.smtp.incoming._write_all", _failing(number))
        assert client.send(mail(page())) == reply
        monkeypatch.undo()
        assert client.send(mail(page())).startswith("250")


def _failing(number: int) -> Any:
    def fail(*_: object) -> None:
        with disk_errors():
            raise OSError(number, "no")

    return fail
