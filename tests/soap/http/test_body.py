"""The body of a request: how slowly it may come, and how long it may take."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from contextlib import ExitStack, suppress

import messages
import pytest
import virtual_time
from collector import errors_in_cycles
from held_turns import HeldTurns
from starlette.requests import Request
from starlette.types import Message

from postscan.core.settings import Settings
from postscan.core.settings.engine import LimitSettings
from postscan.core.settings.network import ServerSettings
from postscan.soap.http.body import HAS_ARRIVED, Body, BodyRefused, HttpRequest, MultipartMessage
from postscan.soap.http.endpoints import LARGE_ENVELOPE, Parsing
from postscan.soap.http.turns import LoopTurns
from postscan.soap.message import mtom
from postscan.soap.message.faults import Fault
from postscan.soap.message.request import SoapRequest

SETTINGS = ServerSettings(idle_seconds=15, body_seconds=100, body_bytes_per_second=1024)


def received(pieces: Iterable[tuple[float, bytes]], limit: int = 1 << 20) -> bytes:
    """Return the body that comes in these pieces, each after so many seconds."""
    coming = iter(pieces)

    async def receive() -> Message:
        seconds, piece = next(coming, (0.0, b""))
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": piece, "more_body": piece != b""}

    async def read() -> bytes:
        return await Body(Request({"type": "http"}, receive), SETTINGS).all(limit)

    data: bytes = virtual_time.run(read())
    return data


def refusal(pieces: Iterable[tuple[float, bytes]]) -> str:
    """Return why the body is refused, with 408."""
    with pytest.raises(BodyRefused) as refused:
        received(pieces)
    assert refused.value.status == 408
    return str(refused.value)


def test_a_pause_may_last_as_long_as_a_connection_may_be_idle() -> None:
    """T-H2: again and again, when the body comes fast between the pauses."""
    assert len(received([(14.9, b"x" * 20_000)] * 5)) == 100_000


def test_a_body_that_has_arrived_is_read_without_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most requests are in one piece; the server tells by the scope that no read of it waits."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"all of it", "more_body": False}

    monkeypatch.setattr(asyncio, "timeout_at", pytest.fail)

    async def read() -> bytes:
        scope = {"type": "http", "extensions": {HAS_ARRIVED: lambda: True}}
        return await Body(Request(scope, receive), SETTINGS).all(100)

    assert virtual_time.run(read()) == b"all of it"


def test_a_longer_pause_ends_the_request() -> None:
    """T-H2."""
    assert refusal([(14.9, b"x" * 20_000), (15.1, b"x")]).startswith("no byte of the body for 15 s")


def test_a_body_may_be_as_slow_as_the_least_rate() -> None:
    """T-H2: a KiB in a second, for longer than the patience lasts."""
    assert len(received([(1.0, b"x" * 1024)] * 90)) == 90 * 1024


def test_a_body_below_the_least_rate_ends_when_it_is_behind_by_the_patience() -> None:
    """T-H2: half a KiB in a second; also a byte now and then, which is never silent for long."""
    assert refusal([(1.0, b"x" * 512)] * 40).endswith("fewer than 1024 bytes a second")
    assert refusal([(4.0, b"x")] * 10).endswith("fewer than 1024 bytes a second")


def test_what_came_fast_does_not_allow_a_slow_rest() -> None:
    """T-H2: a megabyte at once buys no more patience than there was in the beginning."""
    assert refusal([(0.0, b"x" * 1_000_000), *[(4.0, b"x")] * 10]).endswith("fewer than 1024 bytes a second")


def test_a_body_has_a_deadline_however_fast_it_comes() -> None:
    """T-H2."""
    assert len(received([(9.99, b"x" * 20_000)] * 10)) == 200_000
    assert refusal([(9.99, b"x" * 20_000)] * 11) == "the body is not complete after 100 s"


def test_a_body_may_be_as_long_as_the_limit() -> None:
    """T-H6."""
    assert received([(0.0, b"xx")], limit=2) == b"xx"
    with pytest.raises(Fault, match="longer than 2 bytes"):
        received([(0.0, b"xx"), (0.0, b"x")], limit=2)


@pytest.mark.parametrize("more", [0, 1])
def test_the_root_part_has_a_limit_of_its_own(more: int) -> None:
    """Ruling 20: an image does not need a large envelope before it."""
    settings = Settings(limits=LimitSettings(root_bytes=1000))
    data = b"--b\r\nContent-Type: application/xop+xml\r\n\r\n" + b"x" * (1000 + more) + b"\r\n--b--"

    async def receive() -> Message:
        return {"type": "http.request", "body": data}

    async def read() -> bytes:
        body = Body(Request({"type": "http"}, receive), settings.server)
        return await MultipartMessage("b", "", body, settings).envelope()

    if more:
        with pytest.raises(Fault, match="more than 1000 bytes"):
            virtual_time.run(read())
    else:
        assert len(virtual_time.run(read())) == 1000


@pytest.mark.parametrize(("size", "is_large"), [(LARGE_ENVELOPE, False), (LARGE_ENVELOPE + 1, True)])
def test_a_large_envelope_is_parsed_in_a_thread(size: int, is_large: bool) -> None:
    """T-X4: so is what reads its content."""

    async def parse() -> tuple[str, int]:
        request = HttpRequest({"client": ("192.0.2.1", 1)}, Body(Request({"type": "http"}), SETTINGS), ExitStack())
        empty = messages.message("EndPostScanJob")
        message = await Parsing(LoopTurns()).message(request, empty + b" " * (size - len(empty)))
        return message.header.action, await Parsing(LoopTurns()).run(request, threading.get_ident)

    action, thread = asyncio.run(parse())

    assert action.endswith("/EndPostScanJob")
    assert (thread != threading.get_ident()) == is_large


@pytest.mark.parametrize(
    ("has_waited", "kind", "waits"),
    [(False, "mtom", 0), (True, "mtom", 1), (True, "soap", 0)],
    ids=["at once", "late, in a package", "late, alone"],
)
def test_an_envelope_that_arrives_late_with_an_image_is_parsed_in_a_turn_of_its_own(
    has_waited: bool, kind: mtom.Kind, waits: int
) -> None:
    """T-H4: one without an image has the turn of the read that completes it."""
    held = HeldTurns()

    async def parse() -> None:
        request = HttpRequest({"client": ("192.0.2.1", 1)}, Body(Request({"type": "http"}), SETTINGS), ExitStack())
        request.body.has_waited, request.media = has_waited, mtom.Media(kind)
        parsed = asyncio.ensure_future(Parsing(held).message(request, messages.message("EndPostScanJob")))
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(held.waiting) == waits
        assert parsed.done() != bool(waits)
        if waits:
            held.give()
        await parsed

    asyncio.run(parse())
    assert held.asked == ["192.0.2.1"] * waits


REFUSED = {
    "not well-formed": messages.message("EndPostScanJob") + b" " * 60_000 + b"<",
    "too many elements": messages.envelope("", "<a/>" * 11_000),
    "without a header": messages.envelope("", f"<a>{' ' * 60_000}</a>"),
}


@pytest.mark.parametrize("envelope", REFUSED.values(), ids=REFUSED)
def test_a_refused_envelope_leaves_nothing_to_the_garbage_collector(envelope: bytes) -> None:
    """T-H6: the fault, the frames of its traceback, and the message in them are freed at once."""

    async def parse() -> None:
        request = HttpRequest({"client": ("192.0.2.1", 1)}, Body(Request({"type": "http"}), SETTINGS), ExitStack())
        with suppress(Fault):
            await Parsing(LoopTurns()).message(request, envelope)
            raise AssertionError("the envelope was not refused")

    with errors_in_cycles() as found:
        asyncio.run(parse())

    assert found == []


def test_a_parsed_message_does_not_wait_behind_those_that_are_not_parsed() -> None:
    """T-H6: the tree of a message takes several times as much memory as its text."""
    gate, parsing = threading.Event(), Parsing(LoopTurns())

    class Slow(HttpRequest):
        def parse(self, data: bytes) -> SoapRequest:
            assert gate.wait(30)
            return super().parse(data)

    def request(kind: type[HttpRequest]) -> HttpRequest:
        return kind({"client": ("192.0.2.1", 1)}, Body(Request({"type": "http"}), SETTINGS), ExitStack())

    async def read() -> str:
        envelope = messages.message("EndPostScanJob").ljust(LARGE_ENVELOPE + 1)
        parsed = request(HttpRequest)
        await parsing.message(parsed, envelope)
        unparsed = [asyncio.create_task(parsing.message(request(Slow), envelope)) for _ in range(3)]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(10):
                return await parsing.run(parsed, str, "read")
        finally:
            gate.set()
            await asyncio.gather(*unparsed)

    assert asyncio.run(read()) == "read"
