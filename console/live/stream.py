"""A stream of server-sent events: the newest rendering of each region that a page shows.

A thread offers renderings; the event loop takes them when the browser has read what came before. What is not taken yet
is replaced by what is offered later, so a slow browser gets the newest of each region and takes no more memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from postscan.console.live.regions import RegionKey
from postscan.console.live.renderer import Rendering
from postscan.core.model.principal import Principal

HEARTBEAT_SECONDS: Final = 15.0
SEND_SECONDS: Final = 30.0
"""How long a browser may take until it has read enough for the next event."""

MOST_SECONDS: Final = 900.0
"""After which a stream ends, and the browser opens another: so no connection that is dead keeps its place for long."""

BEGIN_SECONDS: Final = 30.0
"""After which a stream that was opened and not begun gives its place back."""

RETRY: Final = b"retry: 2000\n\n"
HEARTBEAT: Final = b'data: ""\n\n'
"""An event without content: the script shows that the console is gone if it hears nothing for long."""


class LiveStream:
    """One open stream: who reads it, what it shows. `closed` is called once, when nothing is sent any more."""

    def __init__(
        self, by: Principal, session: str, keys: tuple[RegionKey, ...], closed: Callable[[LiveStream], None]
    ) -> None:
        self.by = by
        self.session = session
        self.keys = keys
        self.made = time.monotonic()
        self._closed = closed
        self._lock = threading.Lock()
        self._shown: dict[RegionKey, Rendering] = {}
        self._waiting: dict[RegionKey, Rendering] = {}
        self._has_ended = False
        self._reader: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    @property
    def is_abandoned(self) -> bool:
        """Whether no browser has begun to read it in time."""
        return self._reader is None and time.monotonic() > self.made + BEGIN_SECONDS

    def offer(self, key: RegionKey, rendering: Rendering) -> None:
        """Send this rendering next, unless it is the one that was offered last."""
        with self._lock:
            if self._shown.get(key) is rendering:
                return
            self._shown[key] = self._waiting[key] = rendering
        self._wake()

    def end(self) -> None:
        """End the stream: the browser opens another one if it may."""
        with self._lock:
            self._has_ended = True
        self._wake()

    def close(self) -> None:
        """Give the place back."""
        self._closed(self)

    async def events(self) -> AsyncIterator[bytes]:
        """Yield parts of the response until the stream is ended, or is as old as a stream may be."""
        ready = asyncio.Event()
        with self._lock:
            self._reader = asyncio.get_running_loop(), ready
        yield RETRY
        until = time.monotonic() + MOST_SECONDS
        while not self._has_ended and time.monotonic() < until:
            ready.clear()
            with self._lock:
                taken, self._waiting = self._waiting, {}
            if taken:
                yield b"".join(rendering.event for rendering in taken.values())
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await ready.wait()
            except TimeoutError:
                yield HEARTBEAT

    def _wake(self) -> None:
        with self._lock:
            reader = self._reader
        if reader is not None:
            loop, ready = reader
            with contextlib.suppress(RuntimeError):  # the loop was closed: the console stops
                loop.call_soon_threadsafe(ready.set)


class EventStream(StreamingResponse):
    """The response of a stream. It ends, too, if the browser does not read for `SEND_SECONDS`."""

    def __init__(self, stream: LiveStream) -> None:
        super().__init__(stream.events(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; the place of the stream is free afterwards."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        except TimeoutError:
            pass  # the server closes a connection whose response is not complete
        finally:
            self._stream.close()
