"""The body of a request as it arrives: complete or an error, and never slower than a rate.

The end of a body is that of its Content-Length or of its last chunk. A connection that is closed before raises
`SenderGone`, so half a body is never taken for a whole one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.types import Message

DRAIN: Final = 16 << 20
"""Bytes of a refused body that are read and dropped: most clients read a response only when they have sent all."""

DRAIN_SECONDS: Final = 10.0


class HttpRefused(Exception):
    """A request that is answered with this status and this sentence, and has no other effect."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = dict(headers or {})


class SenderGone(Exception):
    """The client closed its connection in the middle of a request: no response can reach it."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How large and how slow a body may be.

    The server waits for `idle_seconds` in all. Each byte gives back as much of that as it takes at `bytes_per_second`,
    so a faster body may pause again and again, and a slower one ends within it. `seconds` is the deadline of the whole.
    """

    most_bytes: int
    idle_seconds: float = 30.0
    bytes_per_second: int = 1024
    seconds: float = 3600.0


class RequestBody:
    """The bytes of one request; raises `HttpRefused` if there are too many, or if they arrive too slowly."""

    def __init__(self, request: Request, limits: BodyLimits) -> None:
        self._receive = request.receive
        self._limits = limits
        self._patience = limits.idle_seconds
        self._until = asyncio.get_running_loop().time() + limits.seconds
        self._received = 0
        self._is_over = False
        self._is_asked_for = False
        self._is_expected = request.headers.get("expect", "").lower() == "100-continue"

    @property
    def most_bytes(self) -> int:
        """Most bytes that are read."""
        return self._limits.most_bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes as they arrive; ends when the body is complete."""
        while not self._is_over:
            data = await self._next()
            self._received += len(data)
            if self._received > self._limits.most_bytes:
                raise HttpRefused(413, f"the body is longer than {self._limits.most_bytes} bytes")
            if data:
                yield data

    async def all(self, most_bytes: int) -> bytes:
        """Return the whole of a small body; raise `HttpRefused` if it is longer."""
        data = bytearray()
        async for chunk in self.chunks():
            data += chunk
            if len(data) > most_bytes:
                raise HttpRefused(413, f"the body is longer than {most_bytes} bytes")
        return bytes(data)

    async def drain(self) -> bool:
        """Read and drop the rest; return whether all of it was read, so that the connection can be used again.

        A client that waits for 100 Continue has sent nothing yet, and is not asked to.
        """
        if self._is_over:
            return True
        if self._is_expected and not self._is_asked_for:
            return False
        left = DRAIN
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self._is_over and left > 0:
                    left -= len(await self._next())
        except (TimeoutError, HttpRefused, SenderGone):
            return False
        return self._is_over

    async def _next(self) -> bytes:
        now = asyncio.get_running_loop().time
        began = now()
        self._is_asked_for = True
        try:
            async with asyncio.timeout_at(min(self._until, began + self._patience)):
                message = await self._receive()
        except TimeoutError:
            self._is_over = True
            raise HttpRefused(408, "the body arrives too slowly, or not at all", {"connection": "close"}) from None
        data = self._taken(message)
        gained = len(data) / self._limits.bytes_per_second
        self._patience = min(self._limits.idle_seconds, self._patience - (now() - began) + gained)
        return data

    def _taken(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            self._is_over = True
            raise SenderGone
        self._is_over = not message.get("more_body", False)
        data: bytes = message.get("body", b"")
        return data
