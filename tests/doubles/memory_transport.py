"""A connection in memory: a transport that sends nothing, and an application that answers when a test lets it."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from postscan.soap.http.protocol import ConnectionLimits, protocol
from postscan.soap.http.turns import LoopTurns

ASKED = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
"""A whole request."""


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and never sends it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_paused = False
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written += data

    def close(self) -> None:
        """Note it."""
        self._is_closing = True

    def is_closing(self) -> bool:
        """Return whether it was closed."""
        return self._is_closing

    def pause_reading(self) -> None:
        """Note it."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """Note it."""
        self.is_paused = False


class Application:
    """Answers each request when the test lets it."""

    def __init__(self) -> None:
        self.requests = 0
        self.may_answer = asyncio.Semaphore(0)

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Count the request, wait, and answer."""
        self.requests += 1
        await self.may_answer.acquire()
        await Response(status_code=204)(_scope, _receive, send)


async def turns() -> None:
    """Let the loop do all that it can."""
    for _ in range(50):
        await asyncio.sleep(0)


def linked(kind: Any = None) -> tuple[Wire, Application, asyncio.Protocol]:
    """Return both sides of a connection, and the protocol between them."""
    application, wire = Application(), Wire()
    config = uvicorn.Config(application, lifespan="off", log_config=None)
    kind = kind or protocol(ConnectionLimits(head_seconds=10, idle_seconds=10), LoopTurns())
    made = kind(config, ServerState(), {}, asyncio.get_running_loop())
    made.connection_made(wire)
    return wire, application, made
