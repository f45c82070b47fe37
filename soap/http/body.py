"""The body of a request as it arrives: an envelope, or an envelope with one image behind it.

The settings limit every wait and every buffer. A body that is refused below SOAP raises `BodyRefused`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.types import Message

from postscan.core import traces
from postscan.core.settings import Settings
from postscan.core.settings.network import ServerSettings
from postscan.soap.message import faults, mtom
from postscan.soap.message.request import SoapRequest, parse_request

log = logging.getLogger(__name__)


HAS_ARRIVED: Final = "postscan.has_arrived"
"""Extension of the ASGI scope: a function that returns whether the whole request has arrived, so that no read waits."""


def _is_unknown() -> bool:
    return False


class BodyRefused(Exception):
    """A request that is refused below SOAP: the reply is this HTTP status, and the connection is closed."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class ClientDisconnected(Exception):
    """The client closed its connection in the middle of a request."""


class Body:
    """The bytes of a request as they arrive; raises `BodyRefused` (408) if they arrive too slowly.

    The server waits for `server.idle_seconds` in all. Each byte gives back as much of that as it takes at
    `server.body_bytes_per_second`, so a faster body may pause for the whole time, again and again, and a slower one
    ends within it. `server.body_seconds` is the deadline of the whole body.
    """

    def __init__(self, request: Request, settings: ServerSettings) -> None:
        self.has_waited = False
        """Whether a part of it arrived after the request had begun to be served."""
        self._receive = request.receive
        self._settings = settings
        self._patience = settings.idle_seconds
        self._until = asyncio.get_running_loop().time() + settings.body_seconds
        self._over = False
        self._has_arrived = request.scope.get("extensions", {}).get(HAS_ARRIVED, _is_unknown)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the chunks of the body; iterating again continues where the last iteration stopped."""
        while not self._over:
            yield await self._next()

    async def _next(self) -> bytes:
        if self._has_arrived():
            return self._taken(await self._receive())  # at once, which is most of the time; so without a timer
        self.has_waited = True
        now = asyncio.get_running_loop().time
        began = now()
        try:
            async with asyncio.timeout_at(min(self._until, began + self._patience)):
                message = await self._receive()
        except TimeoutError:
            self._over = True
            raise BodyRefused(408, self._lateness()) from None
        body = self._taken(message)
        gained = len(body) / self._settings.body_bytes_per_second
        self._patience = min(self._settings.idle_seconds, self._patience - (now() - began) + gained)
        return body

    def _taken(self, message: Message) -> bytes:
        self._over = not message.get("more_body", False)
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        body: bytes = message.get("body", b"")
        return body

    def _lateness(self) -> str:
        if asyncio.get_running_loop().time() >= self._until:
            return f"the body is not complete after {self._settings.body_seconds:g} s"
        slowest = f"{self._settings.body_bytes_per_second} bytes a second"
        return f"no byte of the body for {self._settings.idle_seconds:g} s, or fewer than {slowest}"

    async def all(self, limit: int) -> bytes:
        """Return the whole body; raise a fault if it is longer than *limit* bytes."""
        data = bytearray()
        while not self._over:
            data += await self._next()
            if len(data) > limit:
                raise faults.malformed(f"the envelope is longer than {limit} bytes")
        return bytes(data)

    async def drain(self, limit: int) -> bool:
        """Read and drop the rest; return False if it has more than *limit* bytes or does not arrive."""
        try:
            async for chunk in self.chunks():
                limit -= len(chunk)
                if limit < 0:
                    return False
        except (BodyRefused, ClientDisconnected):
            return False
        return True


class PlainMessage:
    """A body that is an envelope without parts."""

    def __init__(self, body: Body, settings: Settings) -> None:
        self._body = body
        self._limit = settings.limits.envelope_bytes

    async def envelope(self) -> bytes:
        """Return the envelope; raise a fault if it is too long."""
        return await self._body.all(self._limit)

    def image(self, cid: str) -> AsyncIterator[bytes | memoryview]:
        """Raise a fault: there is no part that *cid* could refer to."""
        raise _no_such_part(cid)

    async def end(self) -> None:
        """Return at once: `envelope` has read all of the body."""


class MultipartMessage:
    """A multipart body: the envelope first, then at most one part, which holds an image."""

    def __init__(self, boundary: str, start: str, body: Body, settings: Settings) -> None:
        self._body = body
        self._splitter = mtom.Splitter(
            boundary,
            start,
            root_limit=min(settings.limits.root_bytes, settings.limits.envelope_bytes),
            part_limit=settings.limits.image_bytes,
        )
        self._events = self._split()

    async def envelope(self) -> bytes:
        """Return the root part."""
        event = await anext(self._events, None)
        if not isinstance(event, mtom.Root):
            raise mtom.MtomError("the message has no root part")
        return event.data

    async def image(self, cid: str) -> AsyncIterator[bytes | memoryview]:
        """Yield the bytes of the part that *cid* refers to; raise a fault if there is no such part."""
        found = False
        async for event in self._events:
            if isinstance(event, mtom.PartStarted):
                found = mtom.same_content_id(cid, event.content_id)
                if not found:
                    raise faults.invalid_argument("ImageData", cid, f"the part is called {event.content_id[:64]!r}")
            elif isinstance(event, mtom.PartData):
                yield event.data
        if not found:
            raise _no_such_part(cid)

    async def end(self) -> None:
        """Read the rest of the body; raise a fault if there is a part that the envelope does not refer to."""
        async for event in self._events:
            if isinstance(event, mtom.PartStarted):
                raise mtom.MtomError("the message has a part that nothing in it refers to")

    async def _split(self) -> AsyncIterator[mtom.Event]:
        async for chunk in self._body.chunks():
            for event in self._splitter.feed(chunk):
                yield event
        self._splitter.close()


MessageBody = PlainMessage | MultipartMessage


def _no_such_part(cid: str) -> faults.Fault:
    return faults.invalid_argument("ImageData", cid, "the message has no part with this Content-ID")


_UNREAD: Final = mtom.Media("other")


@dataclass(slots=True)
class HttpRequest:
    """One HTTP request while it is served.

    `until_sent` is closed when the response is sent. `message_id` is that of the SOAP message, as soon as its header
    is read; None until then, and if it has none. Every fault of the request relates to it. `action` is that of the
    message, "" until it is read. `note` adds attributes to the span of the request. `is_large` is set for an envelope
    that must not keep other requests waiting.
    """

    scope: Any
    body: Body
    until_sent: contextlib.ExitStack
    media: mtom.Media = _UNREAD
    message_id: str | None = None
    action: str = ""
    note: traces.Note = traces.ignore
    is_large: bool = False

    @property
    def address(self) -> str:
        """The address of the client; empty if the socket has none."""
        client = self.scope["client"]
        return str(client[0]) if client else ""

    def message_body(self, settings: Settings) -> MessageBody:
        """Return the body as an envelope with or without parts, as its media type says."""
        if self.media.kind == "mtom":
            return MultipartMessage(self.media.boundary, self.media.start, self.body, settings)
        return PlainMessage(self.body, settings)

    def parse(self, data: bytes) -> SoapRequest:
        """Return the SOAP request in *data*; raise `Fault` if it is none."""
        message = parse_request(data, self._note_message_id)
        self.action = message.header.action
        self._check_action_header(message)
        return message

    def _note_message_id(self, message_id: str | None) -> None:
        self.message_id = message_id

    def _check_action_header(self, message: SoapRequest) -> None:
        """Log a warning if the Content-Type has another action than the message, whose own one counts."""
        action = self.media.action.strip()
        if action and action != message.header.action:
            log.warning(
                "action of the Content-Type ignored",
                extra={"content_type_action": action[:255], "action": message.header.action[:255]},
            )
