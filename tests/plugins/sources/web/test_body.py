"""Bodies: complete or an error, within bounds of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import virtual_time
from starlette.requests import Request
from starlette.types import Message

from postscan.plugins.sources.web.body import DRAIN, BodyLimits, HttpRefused, RequestBody, SenderGone

LIMITS = BodyLimits(most_bytes=1 << 40, idle_seconds=20.0, bytes_per_second=100, seconds=600.0)


def part(data: bytes, *, more: bool = True) -> Message:
    """Return a piece of a body, as uvicorn passes it on."""
    return {"type": "http.request", "body": data, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


def body_of(messages: AsyncIterator[Message], limits: BodyLimits = LIMITS, *, expects: bool = False) -> RequestBody:
    """Return the body of a request whose pieces come so."""
    headers = [(b"expect", b"100-continue")] if expects else []
    scope = {"type": "http", "method": "PUT", "path": "/", "headers": headers}
    return RequestBody(Request(scope, messages.__anext__), limits)


async def coming(*messages: Message | float) -> AsyncIterator[Message]:
    """Yield messages, and wait for so many seconds where there is a number; then for ever."""
    for one in messages:
        if isinstance(one, float):
            await asyncio.sleep(one)
        else:
            yield one
    await asyncio.Event().wait()


async def read(body: RequestBody) -> bytes:
    """Return all of a body."""
    return b"".join([chunk async for chunk in body.chunks()])


def status(work: Callable[[], Coroutine[Any, Any, Any]]) -> int:
    """Return the status with which reading is refused; 200 if it is not."""
    try:
        virtual_time.run(work())
    except HttpRefused as refused:
        return refused.status
    return 200


def test_a_body_is_read_to_its_end() -> None:
    """Whatever its pieces are; an empty one is nothing."""

    async def work() -> bytes:
        return await read(body_of(coming(part(b"a"), part(b""), part(b"bc", more=False))))

    assert virtual_time.run(work()) == b"abc"


@pytest.mark.parametrize("before", [(), (part(b"a"),), (part(b"a" * 1000),)])
def test_a_sender_that_goes_before_the_end_is_an_error(before: tuple[Message, ...]) -> None:
    """Also if it has sent something."""
    with pytest.raises(SenderGone):
        virtual_time.run(read_all(*before, GONE))


async def read_all(*messages: Message | float, limits: BodyLimits = LIMITS) -> bytes:
    """Read a body whose pieces come so."""
    return await read(body_of(coming(*messages), limits))


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (part(b"a" * 1000),),
        (part(b"a" * 10), 15.0, part(b"b" * 200), 15.0, part(b"c", more=False)),
        (*(one for _ in range(100) for one in (part(b"a"), 0.5)), part(b"", more=False)),
    ],
    ids=["nothing", "a-part", "pauses", "drips"],
)
def test_a_body_that_is_too_slow_is_refused(messages: tuple[Message | float, ...]) -> None:
    """Which brings nothing, or less than the least rate, for as long as the server waits in all."""
    assert status(lambda: read_all(*messages)) == 408


def test_a_faster_body_may_pause_again_and_again() -> None:
    """Each byte gives back what it takes at the least rate, up to the whole patience."""
    pieces: list[Message | float] = [one for _ in range(6) for one in (part(b"a" * 2000), 19.0)]

    assert status(lambda: read_all(*pieces, part(b"", more=False))) == 200


def test_a_body_has_a_deadline_however_fast_it_is() -> None:
    """It holds a place and room on the disk."""
    pieces: list[Message | float] = [one for _ in range(700) for one in (part(b"a" * 1000), 1.0)]

    assert status(lambda: read_all(*pieces, part(b"", more=False))) == 408


def test_a_body_is_bounded() -> None:
    """The bound is included."""
    limits = BodyLimits(most_bytes=4)

    assert status(lambda: read_all(part(b"ab"), part(b"cd", more=False), limits=limits)) == 200
    assert status(lambda: read_all(part(b"ab"), part(b"cde", more=False), limits=limits)) == 413


def test_a_small_body_has_a_bound_of_its_own() -> None:
    """That of XML, whatever files may have."""

    async def work() -> bytes:
        return await body_of(coming(part(b"abc", more=False))).all(2)

    assert status(work) == 413


def test_the_rest_of_a_refused_body_is_read() -> None:
    """Then the sender reads the response, and the connection can be used again."""

    async def work(*messages: Message | float, expects: bool = False) -> bool:
        body = body_of(coming(*messages), expects=expects)
        if not expects:
            await anext(body.chunks())
        return await body.drain()

    assert virtual_time.run(work(part(b"a"), part(b"b"), part(b"c", more=False)))
    assert virtual_time.run(work(part(b"a", more=False)))
    assert not virtual_time.run(work(part(b"a"), GONE))
    assert not virtual_time.run(work(part(b"a"), part(b"b")))
    assert not virtual_time.run(work(*(part(b"a" * (DRAIN // 4)) for _ in range(6)), part(b"", more=False)))


def test_a_sender_that_waits_for_100_continue_is_not_asked_to_send() -> None:
    """Its request was refused by its head."""

    async def work() -> bool:
        return await body_of(coming(part(b"a", more=False)), expects=True).drain()

    assert not virtual_time.run(work())
