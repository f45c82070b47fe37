"""What one browser gets, whatever speed it reads at, and when its stream ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from live_regions import ANN, key

from postscan.console.live import stream as streams
from postscan.console.live.renderer import Rendering
from postscan.console.live.stream import EventStream, LiveStream

PATIENCE = 30.0


@pytest.fixture
def closed() -> list[LiveStream]:
    """The streams that have given their place back."""
    return []


@pytest.fixture
def opened(closed: list[LiveStream]) -> LiveStream:
    """A stream that shows two regions."""
    return LiveStream(ANN, "session", (key("running"), key("rows")), closed.append)


def read(stream: LiveStream, *, offer: Callable[[], None] = lambda: None) -> list[bytes]:
    """Return the parts of a stream until it ends; *offer* is called in another thread when it has begun."""

    async def parts() -> list[bytes]:
        found = []
        async with asyncio.timeout(PATIENCE):
            async for part in stream.events():
                if not found:
                    await asyncio.to_thread(offer)
                found.append(part)
        return found

    return asyncio.run(parts())


def test_a_slow_browser_gets_the_newest_of_each_region(opened: LiveStream) -> None:
    """It reads nothing while three versions of a region are rendered; memory holds one."""

    def offer() -> None:
        for number in range(3):
            opened.offer(key("running"), Rendering(f"running {number}"))
        opened.offer(key("rows"), Rendering("rows"))

    async def parts() -> list[bytes]:
        events = opened.events()
        async with asyncio.timeout(PATIENCE):
            begin = await anext(events)
            await asyncio.to_thread(offer)
            return [begin, await anext(events)]

    assert asyncio.run(parts()) == [streams.RETRY, b'data: "running 2"\n\ndata: "rows"\n\n']


def test_what_a_browser_has_is_not_sent_again(opened: LiveStream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A region that was looked at and did not change costs nothing; the line is kept open by comments."""
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.001)
    same = Rendering("running")

    async def parts() -> list[bytes]:
        events = opened.events()
        async with asyncio.timeout(PATIENCE):
            found = [await anext(events)]
            for _ in range(2):
                opened.offer(key("running"), same)
                found.append(await anext(events))
        return found

    assert asyncio.run(parts()) == [streams.RETRY, same.event, streams.HEARTBEAT]


def test_a_stream_ends_when_it_is_ended(opened: LiveStream) -> None:
    """By a logout, or the stop of the console; at once, not at the next heartbeat."""
    assert read(opened, offer=opened.end) == [streams.RETRY]


def test_a_stream_ends_when_it_is_old(opened: LiveStream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser opens another one; the place of a dead connection is free by then."""
    monkeypatch.setattr(streams, "MOST_SECONDS", 0.0)

    assert read(opened) == [streams.RETRY]


def serve(stream: LiveStream, send: Callable[[], object], *, hangs_up: bool) -> None:
    """Serve the stream as a server does; *send* is awaited for each part of the response."""

    async def receive() -> dict[str, object]:
        if not hangs_up:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def sent(_message: object) -> None:
        await send()  # type: ignore[misc]

    async def run() -> None:
        async with asyncio.timeout(PATIENCE):
            await EventStream(stream)({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, sent)

    asyncio.run(run())


def test_a_browser_that_hangs_up_gives_its_place_back(opened: LiveStream, closed: list[LiveStream]) -> None:
    """Although the stream itself has not ended."""

    async def send() -> None:
        """Take everything."""

    serve(opened, send, hangs_up=True)

    assert closed == [opened]


def test_a_browser_that_never_reads_gives_its_place_back(
    opened: LiveStream, closed: list[LiveStream], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a caller would hold all places with connections that it does not read."""
    monkeypatch.setattr(streams, "SEND_SECONDS", 0.01)

    async def send() -> None:
        await asyncio.Event().wait()

    serve(opened, send, hangs_up=False)

    assert closed == [opened]
