"""Deadlines: for a proof, for the next command, for a mail, for a handshake, and for a client that reads nothing."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import mail_inlet
import pytest
from mail_inlet import Certified
from works import PATIENCE, until

from postscan.plugins.sources.smtp.connection import session


def test_a_client_that_proves_nothing_has_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it sends meanwhile."""
    monkeypatch.setattr(session, "PROOF_SECONDS", 0.5)
    with mail_inlet.serving(tmp_path, devices=()) as inlet, inlet.client() as client:
        replies = [""]
        with contextlib.suppress(OSError):
            while len(replies) < 100 and replies[-1] in ("", "250 OK"):
                replies.append(client.say("NOOP"))
                time.sleep(0.05)

        assert replies[-1] in ("250 OK", "421 4.4.2 the time is over")
        assert len(replies) < 100


def test_a_client_that_is_silent_is_told_and_left(tmp_path: Path) -> None:
    """Before a command, and within a mail."""
    with mail_inlet.serving(tmp_path, {"idle_seconds": 0.3}) as inlet:
        with inlet.client() as client:
            assert client.reply() == "421 4.4.2 the time is over"
            assert client.reply() == ""
        with inlet.client() as client:
            assert client.envelope().startswith("354")
            client.channel.sendall(b"Subject: s\r\n")
            assert client.reply() == "421 4.4.2 the time is over"
        assert inlet.server.jobs == []


def test_a_mail_that_comes_slowly_has_an_end(tmp_path: Path) -> None:
    """One byte now and then does not hold a connection for ever."""
    with mail_inlet.serving(tmp_path, {"data_seconds": 0.5}) as inlet, inlet.client() as client:
        assert client.envelope().startswith("354")
        begin = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - begin < PATIENCE:
                client.channel.sendall(b"x")
                time.sleep(0.02)

        assert time.monotonic() - begin < PATIENCE


def test_a_client_that_reads_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its replies would wait for ever."""
    monkeypatch.setattr(session, "LINGER_SECONDS", 0.1)
    monkeypatch.setattr(session, "MOST_LINES", 10**9)
    with mail_inlet.serving(tmp_path, {"idle_seconds": 0.5}) as inlet, inlet.client() as client:
        client.channel.settimeout(PATIENCE)
        with pytest.raises((ConnectionError, BrokenPipeError)):
            while True:
                client.channel.sendall(b"EHLO scanner\r\n" * 1000)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00", b"no handshake\r\n" * 100])
@pytest.mark.parametrize("implicit", [False, True])
def test_a_handshake_that_does_not_end_is_left(
    tmp_path: Path, certified: Certified, monkeypatch: pytest.MonkeyPatch, implicit: bool, sent: bytes
) -> None:
    """And its place is free again: there is one here."""
    monkeypatch.setattr(session, "HANDSHAKE_SECONDS", 0.3)
    monkeypatch.setattr("asyncio.constants.SSL_HANDSHAKE_TIMEOUT", 10**6)
    monkeypatch.setattr("postscan.plugins.sources.smtp.connection.listener.HANDSHAKE_SECONDS", 0.3)
    settings = {"tls": "implicit" if implicit else "starttls", "certificate": str(certified.file), "connections": 1}
    with mail_inlet.serving(tmp_path, settings) as inlet:
        with socket.create_connection(("127.0.0.1", inlet.port), PATIENCE) as channel:
            if not implicit:
                channel.recv(1000)
                channel.sendall(b"EHLO scanner\r\nSTARTTLS\r\n")
                received = b""
                while b"220 Ready" not in received:
                    received += channel.recv(1000)
            channel.sendall(sent)
            with contextlib.suppress(ConnectionError):
                while channel.recv(1000):
                    pass

        def is_free() -> bool:
            with contextlib.suppress(OSError, AssertionError), inlet.client(certified.context if implicit else None):
                return True
            return False

        until(is_free)
