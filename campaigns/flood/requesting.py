"""Unkind clients that send requests: too many, too large, for nothing, or such that the server has to wait."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import Final

from campaigns.flood import envelopes
from campaigns.flood.clients import Caller, Client, Count

AHEAD: Final = 100
"""Requests that are sent at once."""

PIECE: Final = bytes(2048)
"""What a slow upload sends each second: twice as much as the server demands."""

LENGTH: Final = 1 << 20
"""Length of a slow upload, which takes 500 seconds."""

SLOW_SECONDS: Final = 4.0
"""Seconds until a slow sink answers; a little less than the server's deadline."""

SUBSCRIBED: Final = 60
BETWEEN_JOBS: Final = 4.0


class Pipelining(Client):
    """Send many requests at once, then read all answers."""

    kind = "pipelining"

    async def turn(self) -> str:
        token = await self.caller.job()
        request = self.target.request(envelopes.get(self.target.url, token))
        async with self.connected() as line:
            while True:
                with self.count.one():
                    sending = asyncio.ensure_future(line.send(request * AHEAD))
                    try:
                        for _ in range(AHEAD):
                            status, answer = await line.answer()
                            self.count.outcomes[envelopes.outcome(status, answer)] += 1
                    finally:
                        sending.cancel()
                        await asyncio.gather(sending, return_exceptions=True)


class LargeXml(Client):
    """Send envelopes of the largest size: with too many elements, and with as many as are parsed."""

    kind = "XML at the limit"

    def __init__(self, caller: Caller, count: Count) -> None:
        super().__init__(caller, count)
        size = caller.flood.envelope_bytes
        self._requests = [self.target.request(make(size)) for make in (envelopes.large, envelopes.too_many_elements)]

    async def turn(self) -> str:
        async with self.connected() as line:
            while True:
                for request in self._requests:
                    with self.count.one():
                        await line.send(request)
                        status, answer = await line.answer()
                    self.count.outcomes[envelopes.outcome(status, answer)] += 1


class UnknownToken(Client):
    """Guess tokens, as fast as the server answers."""

    kind = "unknown tokens"

    async def turn(self) -> str:
        async with self.connected() as line:
            with self.count.one():
                while True:
                    await line.send(self.target.request(envelopes.get(self.target.url, str(uuid.uuid4()))))
                    status, answer = await line.answer()
                    self.count.outcomes[envelopes.outcome(status, answer)] += 1


class SlowUpload(Client):
    """Send an image, no slower than the server demands."""

    kind = "slow uploads"

    async def turn(self) -> str:
        token = await self.caller.create()
        kind, begun = envelopes.image_begun(self.target.url, token)
        async with self.connected() as line:
            await line.send(self.target.head(LENGTH, kind) + begun)
            with self.count.one(), self.caller.uploading(token):
                while not (status := await line.answer_within(1.0)):
                    await line.send(PIECE)
                return str(status)


class WaitingEnd(Client):
    """End a job whose image is still arriving."""

    kind = "waiting Ends"

    async def turn(self) -> str:
        token = await self.caller.uploaded()
        async with self.connected() as line:
            await line.send(self.target.request(envelopes.end(self.target.url, token)))
            with self.count.one():
                status, answer = await line.answer()
        if status == 200:
            self.flood.acknowledged.append((token, "end"))
        return envelopes.outcome(status, answer)

    def pause(self) -> float:
        return 0.1


class ChangingJobs(Client):
    """Create a job and cancel it every few seconds, so that there are events."""

    kind = "changing jobs"

    async def turn(self) -> str:
        with self.count.one():
            token = await self.caller.create()
            status, answer = await self.caller.post(envelopes.cancel(self.target.url, token))
            if status == 200:
                self.flood.acknowledged.append((token, "cancel"))
            await asyncio.sleep(BETWEEN_JOBS)
        return envelopes.outcome(status, answer)


class SlowSink(Client):
    """Subscribe to the caller's events, and accept each only after a long time."""

    kind = "slow sinks"
    seconds = SLOW_SECONDS

    async def turn(self) -> str:
        sink = await asyncio.start_server(self._accept, self.caller.address, 0)
        try:
            host, port = sink.sockets[0].getsockname()
            message = envelopes.subscribe(self.target.url, f"http://{host}:{port}/", SUBSCRIBED)
            status, answer = await self.caller.post(message)
            if status != 200:
                return envelopes.outcome(status, answer)
            with self.count.one():
                await asyncio.sleep(SUBSCRIBED)
            return "subscribed"
        finally:
            sink.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            self.count.outcomes["events"] += 1
            await asyncio.sleep(self.seconds)
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    def pause(self) -> float:
        return 1.0


class HangingSink(SlowSink):
    """Subscribe to the caller's events, and answer none."""

    kind = "hanging sinks"
    seconds = 600.0
