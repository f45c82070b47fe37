"""One message to one sink that does not speak HTTP as it should."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import httpx2
import psutil
import pytest
import uvloop
from free_ports import free_port
from works import until

from postscan.core.model.subscription import Sink
from postscan.core.settings import Settings
from postscan.soap.eventing.http_client import EventPoster, NotDelivered

DEADLINE = 0.5
"""Seconds for sinks that say no status."""

PATIENCE = 60.0
"""Seconds for the others, which take as long as a busy machine needs."""

Manner = Callable[[socket.socket], None]


@contextlib.contextmanager
def sink(manner: Manner) -> Iterator[Sink]:
    """A sink that does as it likes with each connection, once a message has arrived."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    line, _ = server.accept()
                    with line:
                        line.settimeout(PATIENCE)
                        line.recv(65536)
                        manner(line)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Sink(f"http://127.0.0.1:{server.getsockname()[1]}/", "127.0.0.1")
        finally:
            over.set()
            thread.join()


@contextlib.contextmanager
def resetting() -> Iterator[Sink]:
    """A sink that resets each connection before a message arrives."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Sink(f"http://127.0.0.1:{server.getsockname()[1]}/", "127.0.0.1")
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def post(to: Sink, times: int = 1, seconds: float = PATIENCE) -> list[str]:
    """Post a message so many times; return what is wrong with each, "" for nothing."""

    async def send() -> list[str]:
        poster = EventPoster(Settings().tls, seconds)
        said = []
        for _ in range(times):
            try:
                await poster.post(to, b"<a/>")
                said.append("")
            except NotDelivered as error:
                said.append(str(error))
        await poster.close()
        return said

    return asyncio.run(send())


def hold(line: socket.socket) -> None:
    """Say nothing until the other side hangs up."""
    line.recv(1)


def endlessly(piece: bytes, pause: float = 0.0) -> Manner:
    """Return the manner of a sink that goes on with the same piece for ever."""

    def manner(line: socket.socket) -> None:
        waiting = threading.Event()
        while not waiting.wait(pause):
            line.sendall(piece)

    return manner


def saying(data: bytes, then: Manner = lambda _line: None) -> Manner:
    """Return the manner of a sink that says this, and then does something else."""

    def manner(line: socket.socket) -> None:
        line.sendall(data)
        then(line)

    return manner


@pytest.mark.parametrize(
    "manner",
    [
        saying(b"SSH-2.0-OpenSSH\r\n"),
        saying(b"\x16\x03\x01\x00\x00"),
        saying(b"HTTP/1.1 abc\r\n\r\n"),
        saying(b"HTTP/1.1 200"),
        saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 500_000 + b"\r\n\r\n"),
        saying(b"HTTP/1.1 200 OK\r\n", endlessly(b"X: y\r\n")),
        endlessly(b"HTTP/1.1 100 Continue\r\n\r\n"),
        endlessly(b"H", pause=0.1),
        saying(b""),
        hold,
    ],
)
def test_whoever_does_not_say_a_status_has_not_taken_it(manner: Manner) -> None:
    """T-A6: however it goes wrong, it is over after the deadline, and it is always the same error."""
    with sink(manner) as there:
        (said,) = post(there, seconds=DEADLINE)

    assert said.startswith("no response")


@pytest.mark.parametrize(
    "manner",
    [
        saying(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"),
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc"),
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
        saying(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
        saying(b"HTTP/1.1 200 OK\r\n\r\n", endlessly(b"x" * 65536)),
        saying(b"HTTP/1.0 202\r\n\r\n"),
    ],
)
def test_whoever_says_yes_has_taken_it_whatever_comes_behind(manner: Manner) -> None:
    """T-A6: only a little of it is read; nothing is unpacked."""
    with sink(manner) as there:
        assert post(there) == [""]


def test_what_comes_behind_a_yes_is_not_read_for_long() -> None:
    """T-A6: here a byte now and then, of which too few come within the deadline."""
    with sink(saying(b"HTTP/1.1 200 OK\r\n\r\n", endlessly(b"x", pause=0.1))) as there:
        assert post(there, seconds=3.0) == [""]


@pytest.mark.parametrize("status", [b"301 Moved", b"400 Bad", b"503 Busy", b"600 What"])
def test_any_other_status_is_a_no(status: bytes) -> None:
    """dpws.md section 10 (quirk 9): 500 counts as failure, even if it was processed."""
    with sink(saying(b"HTTP/1.1 " + status + b"\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n")) as there:
        assert post(there) == [f"the status is {status[:3].decode()}"]


def test_nobody_there_is_no_answer() -> None:
    """F-R18."""
    (said,) = post(Sink(f"http://127.0.0.1:{free_port()}/", "127.0.0.1"))

    assert said.startswith("no response")


def test_a_connection_that_is_reset_at_once_is_no_answer() -> None:
    """On the event loop of the server, such a connection may have lost its socket before a byte is written."""

    async def send(to: Sink) -> list[str]:
        poster, said = EventPoster(Settings().tls, DEADLINE), []
        for _ in range(300):
            with pytest.raises(NotDelivered) as refused:
                await poster.post(to, b"<a/>")
            said.append(str(refused.value))
        await poster.close()
        return said

    with resetting() as to:
        said = uvloop.run(send(to))

    assert all(one.startswith("no response") for one in said)


def test_no_connection_is_left_open() -> None:
    """T-A6, D17: one connection for one message, whether it was taken or not."""
    with sink(saying(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")) as there, sink(saying(b"")) as deaf:
        post(there)
        before = psutil.Process().num_fds()
        said = post(there, 10) + post(deaf, 10)

        until(lambda: psutil.Process().num_fds() <= before, "for the sinks to close theirs")
    assert said[:10] == [""] * 10
    assert all(said[10:])


def test_ipv6_is_spoken() -> None:
    """An address with colons has its brackets where it needs them."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        heard: list[bytes] = []

        def serve() -> None:
            line, _ = server.accept()
            with line:
                heard.append(line.recv(65536))
                line.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        assert post(Sink(f"http://[::1]:{port}/a?b", "::1")) == [""]
        thread.join()

    assert heard[0].startswith(b"POST /a?b HTTP/1.1\r\n")
    assert f"Host: [::1]:{port}\r\n".encode() in heard[0]


@pytest.mark.parametrize(("missing", "raised"), [("getpeername", NotDelivered), ("other", AttributeError)])
def test_a_transport_without_a_socket_is_a_sink_that_has_reset_its_connection(
    monkeypatch: pytest.MonkeyPatch, missing: str, raised: type[Exception]
) -> None:
    """anyio asks uvloop's transport for it; another attribute that is missing is a defect of ours, and is seen."""

    async def handle(_transport: object, _request: object) -> None:
        raise AttributeError("there is none", name=missing)

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", handle)

    async def post() -> None:
        await EventPoster(Settings().tls, DEADLINE).post(Sink("http://127.0.0.1:9/", "127.0.0.1"), b"")

    with pytest.raises(raised):
        asyncio.run(post())
