"""A listener in this process, and the event loop of the server that accepts its connections with TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import certificates
import uvicorn
from memory_transport import Application
from uvicorn.server import ServerState

from postscan.core.settings.network import TlsSettings
from postscan.soap.http import tls
from postscan.soap.http.acceptor import Acceptor, AcceptSettings, Loop
from postscan.soap.http.connections import Connections
from postscan.soap.http.protocol import ConnectionLimits, protocol
from postscan.soap.http.turns import LoopTurns

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


async def until(true: Callable[[], object]) -> None:
    """Wait until *true* returns something true."""
    while not true():
        await asyncio.sleep(0.01)
