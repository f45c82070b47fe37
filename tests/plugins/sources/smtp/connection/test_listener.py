"""Connections as they come: who is let in, and by which certificate."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import shutil
import socket
import ssl
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mail_inlet
import pytest
import source_server
from certificates import Authority
from mail_inlet import Certified, mail, page
from works import PATIENCE, until

from postscan.core.filters.source.messages import SourceFailed
from postscan.plugins.sources.smtp import Smtp
from postscan.plugins.sources.smtp.connection import listener, session
from postscan.plugins.sources.smtp.connection.listener import address_of
from postscan.plugins.sources.smtp.connection.session import SmtpSession

Sessions = weakref.WeakSet[SmtpSession]


def test_an_address_has_few_connections(tmp_path: Path) -> None:
    """A further one gets a reply and its end; with the others gone there is room."""
    with mail_inlet.serving(tmp_path, {"connections_per_address": 2}) as inlet:
        with inlet.client(), inlet.client(), socket.create_connection(("127.0.0.1", inlet.port), PATIENCE) as third:
            assert third.recv(100) == b"421 4.7.0 too many connections from this address\r\n"
            assert third.recv(100) == b""

        def is_free() -> bool:
            with contextlib.suppress(AssertionError), inlet.client():
                return True
            return False

        until(is_free)


def test_clients_that_may_send_nothing_make_room(tmp_path: Path) -> None:
    """One connection is left to another address, whatever this one does."""
    settings = {"connections": 2}
    with (
        mail_inlet.serving(tmp_path, settings, devices=("127.0.0.2",)) as inlet,
        inlet.client() as oldest,
        inlet.client(),
        inlet.client(address="127.0.0.2") as client,
    ):
        assert oldest.reply() == "421 4.7.0 too many connections"
        assert client.send(mail(page())).startswith("250")


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sessions]:
    """The sessions that begin in a test and are in memory; Python collects no garbage by itself."""
    begun: Sessions = weakref.WeakSet()

    def begin(*arguments: Any, **named: Any) -> SmtpSession:
        begun.add(session := SmtpSession(*arguments, **named))
        return session

    monkeypatch.setattr(listener, "SmtpSession", begin)
    gc.disable()
    yield begun
    gc.enable()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_the_memory_of_connections_that_have_ended_is_freed(
    tmp_path: Path, certified: Certified, tls: str, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-S32: by itself, Python keeps the buffers of hundreds of handshakes, which clients without proof can begin."""
    monkeypatch.setattr(listener, "GARBAGE", 4)
    settings = {"tls": tls, "certificate": str(certified.file)}
    with mail_inlet.serving(tmp_path, settings, devices=()) as inlet:
        for _ in range(20):
            if tls == "implicit":
                with inlet.client(certified.context) as client:
                    assert client.say("EHLO scanner").startswith("250")
            else:
                with inlet.client() as client:
                    assert client.say("EHLO scanner").startswith("250")
                    client.start_tls(certified.context)
        until(lambda: len(sessions) <= 4, f"for {len(sessions)} sessions to be freed")


@pytest.fixture
def _long_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session has more time than a test waits; what has ended is freed soon."""
    for name in ("PROOF_SECONDS", "HANDSHAKE_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(session, name, 10 * PATIENCE)
    monkeypatch.setattr(listener, "GARBAGE_SECONDS", 0.1)


@pytest.mark.usefixtures("_long_times")
def test_the_memory_of_the_last_connections_is_freed(tmp_path: Path, sessions: Sessions) -> None:
    """T-S32: also if no further one ends, and whatever time these would have had."""
    with mail_inlet.serving(tmp_path, {"connections": 2}, devices=("127.0.0.2",)) as inlet:
        with inlet.client() as evicted, inlet.client(), inlet.client(address="127.0.0.2"):
            assert evicted.reply() == "421 4.7.0 too many connections"
        until(lambda: not sessions, f"for {len(sessions)} sessions to be freed")


@pytest.mark.usefixtures("_long_times")
def test_a_client_that_makes_room_in_its_handshake_leaves_nothing(
    tmp_path: Path, certified: Certified, sessions: Sessions
) -> None:
    """T-S32: asyncio reports no end of it, so its buffers would stay until the time of the handshake is over."""
    settings = {"connections": 2, "tls": "starttls", "certificate": str(certified.file)}
    with mail_inlet.serving(tmp_path, settings, devices=("127.0.0.2",)) as inlet:
        with inlet.client() as evicted, inlet.client() as other:
            for client in (evicted, other):
                assert client.say("EHLO scanner").startswith("250")
                assert client.say("STARTTLS").startswith("220")
            with inlet.client(address="127.0.0.2"):
                assert evicted.reply() == ""
        until(lambda: not sessions, f"for {len(sessions)} sessions to be freed")


def test_a_handshake_that_fails_is_no_error_of_the_server(
    tmp_path: Path, certified: Certified, sessions: Sessions
) -> None:
    """asyncio would log a traceback when the memory of the session is freed."""
    settings = {"tls": "starttls", "certificate": str(certified.file)}
    with mail_inlet.serving(tmp_path, settings) as inlet, inlet.client() as client:
        assert client.say("EHLO scanner").startswith("250")
        assert client.say("STARTTLS").startswith("220")
        (serving,) = sessions
        client.reset()
        until(serving.ended.done)
        closed = serving._closed  # type: ignore[attr-defined]  # asyncio has no public name for it

        until(closed.done)
        assert not closed._log_traceback


def test_a_process_without_descriptors_accepts_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And does nothing else meanwhile; the client waits."""
    monkeypatch.setattr(listener, "EXHAUSTED_SECONDS", 0.1)
    with mail_inlet.serving(tmp_path) as inlet:
        accept = socket.socket.accept
        fails = [True]

        def failing(self: socket.socket) -> Any:
            if fails[0] and self.getsockname()[1] == inlet.port:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return accept(self)

        monkeypatch.setattr(socket.socket, "accept", failing)
        with socket.create_connection(("127.0.0.1", inlet.port), PATIENCE) as channel:
            inlet.server.wait_for(lambda: [line for line, _ in inlet.log if line == "connections not accepted"])
            fails[0] = False
            assert channel.recv(100).startswith(b"220 ")


def test_a_port_that_is_taken_ends_the_source(tmp_path: Path) -> None:
    """The server starts it again later, and says why."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = {"port": other.getsockname()[1]}
        with source_server.running(Smtp(), tmp_path, settings, stops=False) as server:
            server.wait_for(lambda: server.end)

            assert isinstance(server.end, SourceFailed)
            assert "Address already in use" in server.end.error


def test_a_certificate_that_cannot_be_used_ends_the_source(tmp_path: Path) -> None:
    """It is named."""
    (file := tmp_path / "mail.pem").write_text("no certificate")
    settings = {"port": 0, "tls": "starttls", "certificate": str(file)}
    with source_server.running(Smtp(), tmp_path, settings, stops=False) as server:
        server.wait_for(lambda: server.end)

        assert isinstance(server.end, SourceFailed)
        assert str(file) in server.end.error


def test_a_renewed_certificate_is_used_for_the_next_connection(tmp_path: Path) -> None:
    """Without a restart; half of a renewal leaves the old one in use, and is in the log."""
    (used := tmp_path / "used").mkdir()
    names = []
    with contextlib.ExitStack() as stack:
        inlet = None
        for name in ("first", "second"):
            authority = Authority(name)
            shutil.copy(authority.server().write(tmp_path, name), used / "mail.pem")
            if inlet is None:
                settings = {"tls": "implicit", "certificate": str(used / "mail.pem")}
                inlet = stack.enter_context(mail_inlet.serving(tmp_path, settings))
            context = ssl.create_default_context(cafile=str(authority.write(tmp_path, f"{name}-ca")))
            context.check_hostname = False
            with inlet.client(context) as client:
                names.append(client.say("NOOP"))
        (used / "mail.pem").write_text("half")
        with inlet.client(context) as client:
            names.append(client.say("NOOP"))
        inlet.server.wait_for(lambda: [line for line, _ in inlet.log if line == "certificate not loaded"])

    assert names == ["250 OK"] * 3


@pytest.mark.parametrize("context", ["TLSv1", "TLSv1_1"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_of_tls_are_refused(tmp_path: Path, certified: Certified, context: str) -> None:
    """As at the other ports of the server."""
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion[context]
    settings = {"tls": "implicit", "certificate": str(certified.file)}
    with mail_inlet.serving(tmp_path, settings) as inlet:
        channel = socket.create_connection(("127.0.0.1", inlet.port), PATIENCE)
        with channel, pytest.raises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(channel)


@pytest.mark.parametrize(
    ("host", "address"),
    [("10.0.0.9", "10.0.0.9"), ("::ffff:10.0.0.9", "10.0.0.9"), ("fe80::1%eth0", "fe80::1%eth0"), ("::1", "::1")],
)
def test_an_address_of_ipv4_is_one_wherever_it_arrives(host: str, address: str) -> None:
    """A socket of IPv6 shows it in another form."""
    assert address_of(host) == address


def test_an_inlet_may_listen_to_ipv6(tmp_path: Path) -> None:
    """With devices of either kind."""
    with mail_inlet.serving(tmp_path, {"host": "::1"}, devices=("::1",)) as inlet:
        with mail_inlet.RawClient(socket.create_connection(("::1", inlet.port), PATIENCE)) as client:
            assert client.reply().startswith("220 ")
            assert client.send(mail(page())).startswith("250")
        assert inlet.jobs()[0].request.subject == "::1"
