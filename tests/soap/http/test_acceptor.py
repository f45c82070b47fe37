"""The acceptor: what a new connection costs before its handshake, and what becomes of one that is not made."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import socket
import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import uvloop
import virtual_time
from held_turns import HeldTurns
from memory_transport import Application, Wire
from tls_listener import serve, until
from uvicorn.server import ServerState

from postscan.soap.http.acceptor import HANDSHAKES, Acceptor, AcceptSettings
from postscan.soap.http.connections import Connections
from postscan.soap.http.protocol import ConnectionLimits, protocol
from postscan.soap.http.turns import LoopTurns


async def turns() -> None:
    """Let the loop do all that it can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Exhausted(socket.socket):
    """A listening socket of a process that has no descriptors left, as long as `is_empty`."""

    tries = 0
    is_empty = True

    def accept(self) -> tuple[socket.socket, Any]:
        """Raise EMFILE."""
        self.tries += 1
        if self.is_empty:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_without_descriptors_the_server_pauses_and_then_accepts(caplog: pytest.LogCaptureFixture) -> None:
    """F-R27: it does not try again and again, and logs it once."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        accepted = asyncio.Event()

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted.set()
                transport.close()

        settings = AcceptSettings(Connections(1, 1), 1.0, 1.0, LoopTurns())
        acceptor = Acceptor(loop, listener, Protocol, None, settings)
        with contextlib.closing(acceptor), socket.create_connection(listener.getsockname()):
            while not listener.tries:
                await asyncio.sleep(0.01)
            for _ in range(20):
                await asyncio.sleep(0)
            assert listener.tries == 1
            listener.is_empty = False
            for _ in range(10_000):
                if not accepted.is_set():
                    await asyncio.sleep(0.01)
            assert accepted.is_set()

    with Exhausted() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        virtual_time.run(serve())

    assert [record.message for record in caplog.records] == ["no connections accepted for a moment"]


def test_a_connection_has_no_buffers_before_its_handshake_begins(tmp_path: Path) -> None:
    """T-H4: a client that sends nothing costs a place and a descriptor; when another one needs them, it is closed."""

    async def talk(listener: socket.socket, connections: Connections, made: list[Any]) -> None:
        with socket.create_connection(listener.getsockname()) as client:
            await until(lambda: len(connections))
            await turns()
            assert not made
            client.sendall(b"x")
            await until(lambda: made)
        await until(lambda: not len(connections))
        with socket.create_connection(listener.getsockname()) as client:
            client.setblocking(False)
            await until(lambda: len(connections))
            assert connections.admit("192.0.2.1")
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b""

    serve(tmp_path, 1, 10.0, talk)


def test_a_connection_that_makes_room_before_its_opening_has_begun_is_closed(tmp_path: Path) -> None:
    """T-H4: many are accepted at once, and some of them make room for the others."""

    async def talk(listener: socket.socket, connections: Connections, made: list[Any]) -> None:
        address = listener.getsockname()
        with (
            socket.create_connection(address) as first,
            socket.create_connection(address),
            socket.create_connection(address, source_address=("127.0.0.2", 0)),
        ):
            first.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(first, 1) == b""
            assert len(connections) == 2

    serve(tmp_path, 2, 10.0, talk)


HELLO = b"\x16\x03\x01\x00\xc8" + bytes(200)
"""A whole record of a handshake."""


def test_a_handshake_waits_for_a_turn(tmp_path: Path) -> None:
    """T-H4: when its first record is complete."""
    held = HeldTurns()

    async def talk(listener: socket.socket, connections: Connections, made: list[Any]) -> None:
        clients = [socket.create_connection(listener.getsockname()) for _ in range(2)]
        with clients[0], clients[1]:
            for number, client in enumerate(clients):
                client.setblocking(False)
                client.sendall(HELLO[:60])
                await turns()
                assert len(held.waiting) == number
                client.sendall(HELLO[60:])
                await until(lambda number=number: len(held.waiting) == number + 1)
            assert held.asked == ["127.0.0.1"] * 2
            assert not made
            held.give()
            await until(lambda: len(made) == 1)
            await turns()
            assert len(held.waiting) == 1
        assert len(made) == 1

    serve(tmp_path, 2, 20.0, talk, held)


def test_a_handshake_that_has_ended_at_its_deadline_takes_no_turn(tmp_path: Path) -> None:
    """T-H4: it waits for one no longer."""
    held = HeldTurns()

    async def talk(listener: socket.socket, connections: Connections, made: list[Any]) -> None:
        with socket.create_connection(listener.getsockname()) as client:
            client.setblocking(False)
            client.sendall(HELLO)
            await until(lambda: held.asked)
            await until(lambda: not held.waiting)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
        assert not made

    serve(tmp_path, 1, 1.0, talk, held)


def test_so_many_handshakes_of_an_address_are_under_way(tmp_path: Path) -> None:
    """T-H4: a client that sends its hello in two records would have a turn for the first, and pay for the second."""

    async def talk(listener: socket.socket, connections: Connections, made: list[Any]) -> None:
        with contextlib.ExitStack() as stack:
            connected = partial(socket.create_connection, listener.getsockname())
            clients = [stack.enter_context(connected()) for _ in range(HANDSHAKES + 2)]
            for client in clients:
                client.sendall(b"\x16\x03\x01\x00\x01\x01")
            await until(lambda: len(made) == HANDSHAKES)
            await turns()
            assert len(made) == HANDSHAKES
            clients[0].close()
            await until(lambda: len(made) == HANDSHAKES + 1)
        await until(lambda: not len(connections))

    serve(tmp_path, 2 * HANDSHAKES, 10.0, talk)


def test_a_closed_acceptor_begins_no_handshake() -> None:
    """A connection that was accepted and waits is closed: the server would not stop before its client does."""

    async def talk() -> None:
        held, connections = HeldTurns(), Connections(1, 1)
        settings = AcceptSettings(connections, 10.0, 10.0, held)
        loop = asyncio.get_running_loop()
        acceptor = Acceptor(loop, listener, asyncio.Protocol, ssl.create_default_context(), settings)
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(HELLO)
            await until(lambda: held.waiting)
            acceptor.close()
            await turns()
            assert held.waiting == []
            assert not len(connections)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(talk())


def test_a_handshake_that_does_not_begin_ends_at_its_deadline(tmp_path: Path) -> None:
    """T-H4."""

    async def talk(listener: socket.socket, connections: Connections, made: list[Any]) -> None:
        with socket.create_connection(listener.getsockname()) as client:
            client.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
        assert not made
        assert not len(connections)

    serve(tmp_path, 1, 0.1, talk)


def test_a_connection_that_is_not_made_leaves_nothing_to_the_garbage_collector(tmp_path: Path) -> None:
    """T-H4: a failed handshake, and a connection that makes room for another one in the middle of its own."""

    async def talk(listener: socket.socket, connections: Connections, made: list[Any]) -> None:
        with contextlib.ExitStack() as clients:
            for number in (1, 2):
                client = clients.enter_context(socket.create_connection(listener.getsockname()))
                client.sendall(b"\x16\x03\x01\x00\x01\x01")
                await until(lambda number=number: len(made) == number)
            assert connections.admit("192.0.2.1")
            client.sendall(b"no TLS")
            await until(lambda: not any(one() for one in made))

    gc.disable()
    try:
        serve(tmp_path, 2, 10.0, talk)
    finally:
        gc.enable()


class GivesUp(uvloop.Loop):
    """An event loop that is cancelled when a connection has begun, and closes it without a word, as uvloop does."""

    async def connect_accepted_socket(  # type: ignore[override]  # the other arguments are those of uvloop
        self, factory: Any, sock: socket.socket, **_options: Any
    ) -> Any:
        """Begin, close, and end as a cancelled task does."""
        factory().connection_made(Wire())
        sock.close()
        raise asyncio.CancelledError


def test_a_connection_that_is_given_up_while_it_begins_is_lost() -> None:
    """T-H4: else the server waits for it at its stop."""
    connections, state = Connections(9, 9), ServerState()
    kind = protocol(ConnectionLimits(10, 10), LoopTurns())
    config = uvicorn.Config(Application(), lifespan="off", log_config=None)
    made: list[Any] = []

    def begun() -> Any:
        made.append(kind(config, state, {}, asyncio.get_running_loop()))
        return made[-1]

    async def begin() -> None:
        settings = AcceptSettings(connections, 10.0, 10.0, LoopTurns())
        with (
            contextlib.closing(Acceptor(asyncio.get_running_loop(), listener, begun, None, settings)),
            socket.create_connection(listener.getsockname()),
        ):
            await until(lambda: made)
            await turns()
        assert not state.connections
        assert not len(connections)

    with socket.create_server(("127.0.0.1", 0)) as listener, asyncio.Runner(loop_factory=GivesUp) as runner:
        runner.run(asyncio.wait_for(begin(), 10))
