"""Unkind clients that hold connections: they are silent, or slow, or read no answer."""

from __future__ import annotations

import asyncio
from typing import Final

from campaigns.flood import envelopes
from campaigns.flood.clients import Client
from campaigns.flood.lines import Line

LONGEST: Final = 120.0
"""Seconds after which a client gives up a connection that the server has not closed."""

BETWEEN: Final = 3.0
"""Seconds between two bytes, or two fields, of a slow client; shorter than every time limit of the server."""

BODY: Final = 4096
NAMES: Final = 60
SMALL_BUFFER: Final = 4096


class Silent(Client):
    """Connect without TLS, and send nothing."""

    kind = "silent"

    async def turn(self) -> str:
        async with self.connected(without_tls=True) as line:
            with self.count.one():
                return _named(await line.answer_within(LONGEST))


class SilentBehindTls(Client):
    """Connect, complete the TLS handshake, and send nothing."""

    kind = "silent, TLS"

    async def turn(self) -> str:
        async with self.connected() as line:
            with self.count.one():
                return _named(await line.answer_within(LONGEST))


class HalfHead(Client):
    """Send a head that never ends, a field every few seconds."""

    kind = "half heads"

    async def turn(self) -> str:
        async with self.connected() as line:
            with self.count.one():
                await line.send(self.target.head(0)[:-2])
                return await _slowly(line, b"X-More: a\r\n")


class DrippingBody(Client):
    """Send a body, a byte every few seconds."""

    kind = "dripping bodies"

    async def turn(self) -> str:
        async with self.connected() as line:
            with self.count.one():
                await line.send(self.target.head(BODY) + b"<")
                return await _slowly(line, b" ")


class UnreadAnswers(Client):
    """Send request after request for a long answer, and read none of them."""

    kind = "unread answers"

    async def turn(self) -> str:
        token = await self.caller.job()
        request = self.target.request(envelopes.get(self.target.url, token, names=NAMES))
        async with self.connected(receives=SMALL_BUFFER) as line:
            with self.count.one():
                try:
                    async with asyncio.timeout(LONGEST):
                        while True:
                            await line.send(request)
                except TimeoutError:
                    return "still open"


async def _slowly(line: Line, piece: bytes) -> str:
    """Send the same piece again and again until the server answers or closes the connection; return its answer."""
    for _ in range(int(LONGEST / BETWEEN)):
        status = await line.answer_within(BETWEEN)
        if status:
            return _named(status)
        await line.send(piece)
    return "still open"


def _named(status: int) -> str:
    return str(status) if status else "still open"
