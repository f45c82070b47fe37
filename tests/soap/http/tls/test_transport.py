"""The transport of TLS: how much memory a connection has on either side of it."""

from __future__ import annotations

import asyncio
import mmap
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from tls_listener import serve, until

from postscan.soap.http.connections import Connections
from postscan.soap.http.tls import transport as tls_transport


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
