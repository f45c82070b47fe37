"""Connections: each has a deadline until its request is complete; there are only so many, of one address and in all."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio.to_thread
import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState
from web_site import LoopbackTls
from works import PATIENCE, until

from postscan.core.filters.cancellation import CancelSource
from postscan.plugins.sources.web import connections
from postscan.plugins.sources.web.connections import (
    FEW,
    HEAD_BYTES,
    KEPT,
    AddressPlaces,
    HeadDeadline,
    WebLimits,
    WebListener,
)
from postscan.plugins.sources.web.server import CannotListen, listen, serve, tls_context

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LIMITS = WebLimits(connections=16, connections_per_address=16)
LOOPBACK = "127.0.0.1"


@dataclasses.dataclass
class Running:
    """A server with an application that answers "hello"."""

    port: int
    token: CancelSource
    logged: list[str]

    def connect(self, address: str = LOOPBACK) -> socket.socket:
        """Return a connection from this address."""
        return socket.create_connection((LOOPBACK, self.port), PATIENCE, source_address=(address, 0))


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer any request."""
    await Response(b"hello")(scope, receive, send)


Serving = Callable[..., Running]


@pytest.fixture
def serving() -> Iterator[Serving]:
    """A function that starts a server with these limits."""
    with contextlib.ExitStack() as stack:

        def start(limits: WebLimits = LIMITS, context: ssl.SSLContext | None = None, app: Any = hello) -> Running:
            listener = stack.enter_context(contextlib.closing(listen(LOOPBACK, 0)))
            source = stack.enter_context(CancelSource())
            ready = threading.Event()
            running = Running(listener.getsockname()[1], source, [])
            thread = threading.Thread(
                target=serve,
                args=(app, listener, context, limits, source.token()),
                kwargs={
                    "grace": PATIENCE,
                    "ready": ready.set,
                    "log": lambda text, _level, **fields: running.logged.append(f"{text} {fields['source']}"),
                },
            )
            thread.start()
            stack.callback(thread.join, PATIENCE)
            stack.callback(source.cancel, "the test is over")
            assert ready.wait(PATIENCE)
            return running

        yield start


def received(connection: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            data += piece
    return data


def exchange(connection: socket.socket) -> bytes:
    """Send a request and return its response, without closing the connection."""
    connection.sendall(GET)
    data = b""
    while not data.endswith(b"hello") and (piece := connection.recv(65536)):
        data += piece
    return data


def is_served(running: Running, address: str = LOOPBACK) -> bool:
    """Return whether a new connection of this address gets a response."""
    with running.connect(address) as connection, contextlib.suppress(ConnectionError):
        return exchange(connection).endswith(b"hello")
    return False


# --- deadlines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [b"", b"GET / HT", GET[:-2]])
def test_a_head_has_a_deadline(serving: Serving, begin: bytes) -> None:
    """From the accept; bytes that come one by one do not move it."""
    running = serving(dataclasses.replace(LIMITS, head_seconds=0.5))
    with running.connect() as connection:
        connection.sendall(begin)
        began = time.monotonic()

        assert received(connection).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began > 0.4


def test_a_head_that_drips_has_the_same_deadline(serving: Serving) -> None:
    """Each byte would else buy further seconds."""
    running = serving(dataclasses.replace(LIMITS, head_seconds=0.5))
    end = time.monotonic() + PATIENCE
    response = b""
    with running.connect() as connection, contextlib.suppress(ConnectionError):
        connection.settimeout(0.05)
        for byte in GET[:-2] + b"X: y\r\n" * 2000:
            connection.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                response = connection.recv(12)
            if response or time.monotonic() > end:
                break

    assert response == b"HTTP/1.1 408"


def test_a_later_head_has_a_deadline_too(serving: Serving) -> None:
    """From its first byte."""
    running = serving(dataclasses.replace(LIMITS, head_seconds=0.5))
    with running.connect() as connection:
        assert exchange(connection).endswith(b"hello")
        connection.sendall(GET[:-2])

        assert received(connection).startswith(b"HTTP/1.1 408 ")


def test_a_connection_without_a_further_request_is_closed(serving: Serving) -> None:
    """After the pause that it may make."""
    running = serving(dataclasses.replace(LIMITS, idle_seconds=1.0, head_seconds=PATIENCE))
    with running.connect() as connection:
        assert exchange(connection).endswith(b"hello")

        assert received(connection) == b""


def test_requests_one_after_the_other_keep_a_connection(serving: Serving) -> None:
    """The deadline of a head ends with the head."""
    running = serving(dataclasses.replace(LIMITS, head_seconds=0.3, idle_seconds=PATIENCE))
    with running.connect() as connection:
        for _ in range(3):
            assert exchange(connection).endswith(b"hello")
            time.sleep(0.5)  # longer than the deadline of a head
        assert exchange(connection).endswith(b"hello")


def test_a_handshake_has_a_deadline(serving: Serving, tls: LoopbackTls) -> None:
    """A silent client of TLS has its place no longer than that."""
    limits = dataclasses.replace(LIMITS, handshake_seconds=0.5, connections_per_address=1)
    running = serving(limits, tls_context(str(tls.file), ""))
    with running.connect() as connection:
        assert received(connection) == b""

    def is_served_over_tls() -> bool:
        with (
            contextlib.suppress(OSError),
            running.connect() as raw,
            tls.context.wrap_socket(raw, server_hostname=LOOPBACK) as secure,
        ):
            return exchange(secure).endswith(b"hello")
        return False

    until(is_served_over_tls, "the place is free again")


@pytest.mark.parametrize("size", [HEAD_BYTES + 1, 10 * HEAD_BYTES])
def test_a_head_is_bounded(serving: Serving, size: int) -> None:
    """It is refused before its end has come."""
    with serving().connect() as connection:
        connection.sendall(GET[:-2] + b"X: " + b"y" * size)

        assert received(connection).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(serving: Serving, request_: bytes) -> None:
    """And the connection is closed: where the next request begins is not certain."""
    with serving().connect() as connection:
        connection.sendall(request_)
        response = received(connection)

    assert response.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))


# --- places --------------------------------------------------------------------------------------------------------


def test_an_address_has_so_many_connections(serving: Serving) -> None:
    """What is more is closed, and said once; another address is served."""
    running = serving(dataclasses.replace(LIMITS, connections_per_address=2))
    with running.connect() as one, running.connect() as two:
        assert exchange(one).endswith(b"hello")
        assert exchange(two).endswith(b"hello")
        for _ in range(3):
            assert not is_served(running)
        assert is_served(running, "127.0.0.2")

    until(lambda: is_served(running), "the places are free again")
    assert running.logged == ["connection refused: too many connections 127.0.0.1"]


def test_an_eighth_of_the_places_is_left_to_those_with_few() -> None:
    """Some addresses that hold all they can do not keep out everybody else."""
    places = AddressPlaces(WebLimits(connections=KEPT * FEW, connections_per_address=1000))
    taken = 0
    while places.take("10.0.0.1") is not None:
        taken += 1

    assert taken == (KEPT - 1) * FEW
    others = [places.take("10.0.0.2") for _ in range(FEW)]
    assert None not in others
    assert places.take("10.0.0.3") is None


def test_a_process_without_descriptors_accepts_later(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """And does nothing else meanwhile; the client waits."""
    monkeypatch.setattr(connections, "PAUSE_SECONDS", 0.1)
    running = serving()
    accept = socket.socket.accept
    is_exhausted, has_failed = [True], threading.Event()

    def failing(listener: socket.socket) -> Any:
        if is_exhausted[0] and listener.getsockname()[1] == running.port:
            has_failed.set()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", failing)
    with running.connect() as connection:
        assert has_failed.wait(PATIENCE)
        is_exhausted[0] = False

        assert exchange(connection).endswith(b"hello")


def test_a_place_is_left_once() -> None:
    """Also if it is said twice: when the connection is lost, and when its opening fails."""
    places = AddressPlaces(WebLimits(connections=100, connections_per_address=2))
    first, second = places.take("10.0.0.1"), places.take("10.0.0.1")
    assert first is not None
    assert second is not None
    first()
    first()

    assert places.take("10.0.0.1") is not None
    assert places.take("10.0.0.1") is None


# --- the end -------------------------------------------------------------------------------------------------------


def test_a_request_that_is_served_at_the_stop_gets_its_response(serving: Serving) -> None:
    """And no new connection is accepted."""
    begun, go_on = threading.Event(), threading.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await anyio.to_thread.run_sync(go_on.wait, PATIENCE)
        await hello(scope, receive, send)

    running = serving(app=slow)
    with running.connect() as connection:
        connection.sendall(GET)
        assert begun.wait(PATIENCE)
        running.token.cancel("stop")

        def is_closed() -> bool:
            with contextlib.suppress(OSError):
                running.connect().close()
                return False
            return True

        until(is_closed, "the socket is closed")
        go_on.set()
        assert received(connection).endswith(b"hello")


@pytest.mark.parametrize("turns", range(8))
def test_a_connection_that_comes_at_the_stop_is_closed(turns: int) -> None:
    """However far it has come, in turns of the event loop: it waits, is accepted, is being opened, or is open."""
    config = uvicorn.Config(hello, http=HeadDeadline, ws="none", lifespan="off", log_config=None)
    state = ServerState()

    def make() -> HeadDeadline:
        protocol = HeadDeadline(config, state, {}, asyncio.get_running_loop())
        protocol.limits = LIMITS
        return protocol

    async def stop() -> None:
        with contextlib.closing(listen(LOOPBACK, 0)) as listener:
            accepting = WebListener(listener, make, None, LIMITS, lambda _address: None)
            with socket.create_connection(listener.getsockname(), PATIENCE) as client:
                client.setblocking(False)
                for _ in range(turns):
                    await asyncio.sleep(0)
                accepting.close()
                for protocol in list(state.connections):
                    protocol.shutdown()
                await accepting.wait_closed()
                async with asyncio.timeout(PATIENCE):
                    with contextlib.suppress(ConnectionError):
                        assert await asyncio.get_running_loop().sock_recv(client, 1) == b""

    asyncio.run(stop())
    assert state.connections == set()


# --- what cannot be used -------------------------------------------------------------------------------------------


def test_an_address_that_is_taken_is_named() -> None:
    """The administrator reads this."""
    with contextlib.closing(listen(LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(CannotListen, match=f"127.0.0.1, port {port}"):
            listen(LOOPBACK, port)


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Any, tls: LoopbackTls) -> None:
    """Missing, no certificate, or without its key."""
    (tmp_path / "text.pem").write_text("hello")
    key, _, certificate = tls.file.read_text().partition("-----BEGIN CERTIFICATE")
    (tmp_path / "alone.pem").write_text(f"-----BEGIN CERTIFICATE{certificate}")
    (tmp_path / "key.pem").write_text(key)

    for name, key_name in (("missing.pem", ""), ("text.pem", ""), ("alone.pem", ""), ("alone.pem", "missing.pem")):
        with pytest.raises(CannotListen, match=key_name or name):
            tls_context(str(tmp_path / name), str(tmp_path / key_name) if key_name else "")
    assert tls_context(str(tmp_path / "alone.pem"), str(tmp_path / "key.pem")) is not None
    assert tls_context("", "") is None
