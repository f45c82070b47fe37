"""The places of connections: how many there are, and who makes room."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import mmap
import resource
import socket
import ssl
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import certificates
import pytest
import uvicorn
import uvloop
from acceptance import rawhttp
from acceptance.scanning import Scanner
from acceptance.server import running
from held_turns import HeldTurns
from memory_transport import Application, Wire
from uvicorn.server import ServerState

from postscan.core.settings.network import TlsSettings
from postscan.soap.http import tls
from postscan.soap.http.acceptor import HANDSHAKES, Acceptor, AcceptSettings, Loop
from postscan.soap.http.connections import KEPT, ConnectionPlace, Connections, most_connections, open_to_all
from postscan.soap.http.protocol import ConnectionLimits, protocol
from postscan.soap.http.tls import transport as tls_transport
from postscan.soap.http.turns import LoopTurns


def places(connections: Connections, *addresses: str) -> list[ConnectionPlace]:
    """Return the places of these addresses; each must get one."""
    found = [connections.admit(address) for address in addresses]
    assert None not in found
    return [place for place in found if place is not None]


def test_an_address_has_as_many_connections_as_the_limit() -> None:
    """T-H4: one more is refused, until one of them is closed; other addresses are not affected."""
    connections = Connections(10, 2)
    first, _ = places(connections, "a", "a")

    assert connections.admit("a") is None
    places(connections, "b")

    first.release()
    first.release()
    places(connections, "a")
    assert connections.admit("a") is None
    assert len(connections) == 3


def test_there_are_as_many_connections_as_the_limit() -> None:
    """T-H4: a client that has as many as the others waits when all are in use."""
    connections = Connections(3, 3)
    places(connections, "a", "b", "c")

    assert [connections.admit(address) for address in "abc"] == [None, None, None]


def test_a_client_without_a_connection_gets_one() -> None:
    """T-H4: also when many addresses have one each; the oldest of these ends."""
    connections = Connections(3, 3)
    closed: list[str] = []
    for place in places(connections, "a", "b", "c"):
        place.closed_by(partial(closed.append, place.address))
    places(connections, "d", "e")

    assert closed == ["a", "b"]


def test_the_client_with_the_most_connections_makes_room() -> None:
    """T-H4: it loses its oldest one, and the number stays within the limit."""
    connections = Connections(3, 3)
    closed: list[str] = []
    for number, place in enumerate(places(connections, "a", "a", "b")):
        place.closed_by(partial(closed.append, f"connection {number}"))
    places(connections, "c")

    assert closed == ["connection 0"]
    assert len(connections) == 3


def test_clients_with_about_as_many_connections_take_none_from_each_other() -> None:
    """T-H4: each would connect again, and take another one."""
    connections = Connections(9, 9)
    places(connections, *"aaaaabbbb")

    assert connections.admit("b") is None
    places(connections, "c")
    assert connections.admit("b") is None


def test_a_request_that_is_being_served_is_not_ended() -> None:
    """T-H4: the next one is; and if all are being served, there is no room."""
    connections = Connections(3, 3)
    closed: list[str] = []
    first, second, third = places(connections, "a", "a", "a")
    first.is_served = True
    second.closed_by(lambda: closed.append("second"))
    places(connections, "b")
    third.is_served = True

    assert closed == ["second"]
    assert connections.admit("c") is None


def test_a_client_with_few_connections_gets_one_while_all_of_the_others_are_being_served() -> None:
    """T-H4: some are left to such clients, since requests that are sent ahead are served without an end."""
    connections = Connections(2 * KEPT, 2 * KEPT)
    while place := connections.admit("a"):
        place.is_served = True

    assert len(connections) == open_to_all(2 * KEPT) == 2 * KEPT - 2
    places(connections, "b", "c")
    assert connections.admit("d") is None


def test_connections_have_a_third_of_the_descriptors() -> None:
    """The others are for uploads, the database and the workers."""
    assert most_connections(1000, 3000) == 1000
    assert most_connections(1000, 2999) == 999
    assert most_connections(1000, resource.RLIM_INFINITY) == 1000


def test_a_client_with_fewer_connections_is_served_while_others_have_them_all(tmp_path: Path) -> None:
    """T-H4: 20 addresses take all they can; a bystander's requests, and the server's own files, still work."""
    with contextlib.ExitStack() as stack:
        table = {"connections": 20, "connections_per_address": 15}
        server = stack.enter_context(running(tmp_path, {"server": {"port": 0, **table}}))
        taken = [stack.enter_context(rawhttp.connected(server.url, f"127.0.1.{number % 20}")) for number in range(60)]
        token = Scanner(server).create("copy")

        assert token
        assert sum(not line.has_hung_up() for line in taken) <= 20
        one = [stack.enter_context(rawhttp.connected(server.url, "127.0.2.1")) for _ in range(2)]
        assert any(not line.has_hung_up() for line in one)


def test_an_address_has_so_many_connections(tmp_path: Path) -> None:
    """T-H4: one more is closed at once."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(tmp_path, {"server": {"port": 0, "connections_per_address": 3}}))
        taken = [stack.enter_context(rawhttp.connected(server.url, "127.0.0.3")) for _ in range(3)]
        more = stack.enter_context(rawhttp.connected(server.url, "127.0.0.3"))

        assert more.is_closed()
        assert [line.has_hung_up() for line in taken] == [False] * 3
    assert "connection refused: too many connections" in server.log()


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
            await asyncio.wait_for(accepted.wait(), 30)

    with Exhausted() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        asyncio.run(serve())

    assert [record.message for record in caplog.records] == ["no connections accepted for a moment"]


Serve = Callable[[socket.socket, Connections, list[Any]], Awaitable[None]]


def serve(folder: Path, most: int, handshake_seconds: float, talk: Serve, turns: LoopTurns | None = None) -> None:
    """Accept connections with TLS while *talk* runs, which gets the listener, the places and the protocols made."""
    authority, made = certificates.Authority(), list[Any]()
    certificates.client(folder, authority)
    context = tls.context(TlsSettings.model_validate(certificates.server_table(folder, authority)))
    settings = AcceptSettings(Connections(most, most), handshake_seconds, 10.0, turns or LoopTurns())
    kind = protocol(ConnectionLimits(10, 10), settings.turns)
    config = uvicorn.Config(Application(), lifespan="off", log_config=None)

    def connected(loop: asyncio.AbstractEventLoop) -> Any:
        one = kind(config, ServerState(), {}, loop)
        made.append(weakref.ref(one))
        return one

    async def run() -> None:
        loop = asyncio.get_running_loop()
        acceptor = Acceptor(loop, listener, lambda: connected(loop), context, settings)
        with contextlib.closing(acceptor):
            async with asyncio.timeout(30):
                await talk(listener, settings.connections, made)

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        asyncio.Runner(loop_factory=partial(Loop, settings)) as runner,
    ):
        runner.run(run())


async def turns() -> None:
    """Let the loop do all that it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until(true: Callable[[], object]) -> None:
    """Wait until *true* returns something true."""
    while not true():
        await asyncio.sleep(0.01)


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


HELLO = b"\x16\x03\x01\x00\xc8" + bytes(200)
"""A whole record of a handshake."""


def test_a_handshake_waits_for_a_turn(tmp_path: Path) -> None:
    """T-H4: when its first record is complete; it takes no turn when it has ended at its deadline."""
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
            await until(lambda: not held.waiting)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.get_running_loop().sock_recv(clients[1], 1) == b""
        assert len(made) == 1

    serve(tmp_path, 2, 0.5, talk, held)


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


def test_little_waits_on_either_side_of_tls(tmp_path: Path) -> None:
    """T-H3: for a client that reads nothing, or one whose requests are not read yet."""
    found: list[int] = []

    async def talk(listener: socket.socket, connections: Connections, made: list[Any]) -> None:
        trusting = ssl.create_default_context(cafile=tmp_path / "trusted.pem")
        opening = asyncio.get_running_loop().create_connection(asyncio.Protocol, *listener.getsockname(), ssl=trusting)
        transport, _ = await opening
        await until(lambda: made[0]().transport)
        server = made[0]().transport
        found.extend(high for _low, high in (server.get_read_buffer_limits(), server.get_write_buffer_limits()))
        transport.abort()
        await until(lambda: not len(connections))

    serve(tmp_path, 1, 10.0, talk)

    assert found == [64 * 1024] * 2


def test_a_read_of_tls_is_no_larger_than_the_memory_that_connections_share(tmp_path: Path) -> None:
    """T-H3: for a client that sends much ahead; the pages of uvloop's own buffer are given back before."""
    sizes, buffers = list[int](), list[int]()

    async def talk(listener: socket.socket, connections: Connections, made: list[Any]) -> None:
        trusting = ssl.create_default_context(cafile=tmp_path / "trusted.pem")
        opening = asyncio.get_running_loop().create_connection(asyncio.Protocol, *listener.getsockname(), ssl=trusting)
        transport, _ = await opening
        await until(lambda: made[0]().transport)
        made[0]().data_received = lambda data: sizes.append(len(data))
        transport.write(bytes(1 << 20))
        await until(lambda: sum(sizes) == 1 << 20)
        transport.abort()
        await until(lambda: not len(connections))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tls_transport, "give_back_pages", lambda memory: buffers.append(len(memory)))
        serve(tmp_path, 1, 10.0, talk)

    assert max(sizes) <= 64 * 1024
    assert buffers == [256 * 1024]


def test_pages_that_are_given_back_are_whole_ones() -> None:
    """What lies beside them stays as it is."""
    page = mmap.PAGESIZE
    with mmap.mmap(-1, 4 * page, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[:] = b"x" * (4 * page)
        with memoryview(memory)[1 : 4 * page - 1] as inside:
            tls_transport.give_back_pages(inside)
        assert memory[:] == b"x" * page + bytes(2 * page) + b"x" * page
