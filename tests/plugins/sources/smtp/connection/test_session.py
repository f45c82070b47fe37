"""How a session ends: the client breaks off or leaves, or the server stops."""

from __future__ import annotations

import random
import socket
import threading
from pathlib import Path

import mail_inlet
import pytest
from mail_inlet import MailInlet, mail, page, stuffed
from works import PATIENCE, until


def test_a_mail_that_breaks_off_is_no_job(inlet: MailInlet) -> None:
    """At any byte, whether the connection ends properly or is reset; the next one is stored."""
    content = stuffed(mail(page(size=200_000))) + b".\r\n"
    cuts = random.Random(5)
    for _ in range(20):
        with inlet.client() as client:
            assert client.envelope().startswith("354")
            client.channel.sendall(content[: cuts.randrange(len(content) - 1)])
            if cuts.random() < 0.5:
                client.reset()

    with inlet.client() as client:
        assert client.send(mail(page(size=200_000))).startswith("250")
    assert [job.pages for job in inlet.server.jobs] == [[page(size=200_000)]]


def test_a_client_that_leaves_counts_until_its_mail_is_stored(tmp_path: Path) -> None:
    """Else a client that sends and leaves, again and again, would have any number of mails in work."""
    asked, go_on = threading.Event(), threading.Event()

    def wait(_request: object) -> None:
        asked.set()
        assert go_on.wait(PATIENCE)

    with mail_inlet.serving(tmp_path, {"connections_per_address": 1}) as inlet:
        inlet.server.on_request = wait
        with inlet.client() as client:
            client.envelope()
            client.channel.sendall(stuffed(mail(page())) + b".\r\n")
            assert asked.wait(PATIENCE)
            client.reset()

        def has_ended() -> bool:
            with socket.create_connection(("127.0.0.1", inlet.port), PATIENCE) as channel:
                return channel.recv(100).startswith(b"220 ")

        assert not any(has_ended() for _ in range(20))
        go_on.set()
        until(has_ended)
    assert len(inlet.jobs()) == 1


def test_a_stop_ends_what_waits_and_lets_a_mail_be_stored(tmp_path: Path) -> None:
    """A mail that has not arrived comes again; one that has arrived is stored and acknowledged."""
    stored = threading.Event()

    def wait(_request: object) -> None:
        assert stored.wait(PATIENCE)

    with mail_inlet.serving(tmp_path) as inlet:
        with inlet.client() as idle, inlet.client() as sending, inlet.client() as waiting:
            sending.envelope()
            sending.channel.sendall(b"Subject: s\r\n")
            inlet.server.on_request = wait
            waiting.envelope()
            waiting.channel.sendall(stuffed(mail(page())) + b".\r\n")
            inlet.server.wait_for(lambda: inlet.server.requests)
            inlet.server.stop()

            assert idle.reply() == "421 4.3.2 the server stops; try again later"
            assert sending.reply() == "421 4.3.2 the server stops; try again later"
            with pytest.raises(ConnectionError):
                socket.create_connection(("127.0.0.1", inlet.port), PATIENCE)
            stored.set()
            assert waiting.reply().startswith("250")
        assert inlet.leftovers() == []
