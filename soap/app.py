"""HTTP in, SOAP out: routes, media types, limits and status codes. The only module that knows HTTP.

A request is refused as early as it can be: by its head, by its envelope, by the job's state, by its bytes. What is
refused below SOAP gets a bare status; everything else gets a fault of the protocol.
"""

from __future__ import annotations

import asyncio
import logging
import math
import posixpath
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from postscan.core.errors import Throttled
from postscan.core.model import Principal
from postscan.core.service import PostScanService
from postscan.core.settings import Settings
from postscan.soap import addressing, discovery, faults, metadata, mtom, operations, processing, published, transfer
from postscan.soap.endpoint import endpoint_id
from postscan.soap.identity import Identities
from postscan.soap.responding import Host
from postscan.soap.upload import Upload

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/soap+xml; charset=utf-8"
SOAP11_MEDIA_TYPE: Final = "text/xml; charset=utf-8"
FILE_MEDIA_TYPE: Final = "text/xml; charset=utf-8"
FRAMING: Final = 64 * 1024
"""Bytes that boundaries and part headers may add to an envelope and an image."""

QUESTION_BYTES: Final = 32_767
"""Largest envelope that the device takes (DPWS: MAX_ENVELOPE_SIZE)."""

DRAIN: Final = 16 << 20
"""Bytes of a refused request that are read and thrown away, so that its sender gets to read the fault."""

QUICK: Final = 32
PATIENT: Final = 64
"""Threads for the verbs that answer at once, and for those that may wait."""


def create_app(service: PostScanService, settings: Settings, host: Host | None = None) -> Starlette:
    """Return the ASGI application that serves the processing service, and the device that hosts it.

    *host* answers the Probes that are sent to the device; without one they are an unknown action.
    Raises `SettingsError` if the server has no name and cannot keep one.
    """
    endpoint = Endpoint(service, settings, host)
    path, device_path = settings.server.path, settings.server.device_path
    app = Starlette(
        routes=[
            Route(path, endpoint.post, methods=["POST"]),
            Route(path, endpoint.get_wsdl, methods=["GET"]),
            Route(device_path, endpoint.post_to_device, methods=["POST"]),
            Route(discovery.DIRECTED_PATH, endpoint.post_to_device, methods=["POST"]),
            *(_schema(posixpath.join(posixpath.dirname(path), name), xsd) for name, xsd in published.schemas().items()),
        ],
        exception_handlers={HTTPException: _not_served},
    )
    app.router.redirect_slashes = False  # a redirection repeats whatever the request calls its host
    return app


def _schema(path: str, xsd: bytes) -> Route:
    """Return the route of a schema, which lies beside the service as its file does beside the WSDL."""

    async def get(_request: Request) -> Response:
        return Response(xsd, media_type=FILE_MEDIA_TYPE)

    return Route(path, get, methods=["GET"])


def _not_served(_request: Request, error: Exception) -> Response:
    """Answer a path that is not there, or a method that it does not have."""
    assert isinstance(error, HTTPException)
    return Response(status_code=error.status_code, headers={**(error.headers or {}), "connection": "close"})


class Refused(operations.NoAnswer):
    """A request that is not SOAP enough for a fault: it gets this status, and its connection is closed."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Gone(operations.NoAnswer):
    """The client closed its connection in the middle of a request."""


class Endpoint:
    """The processing service at its address, and the device at its own."""

    def __init__(self, service: PostScanService, settings: Settings, host: Host | None) -> None:
        self._service = service
        self._settings = settings
        self._host = host
        self._identities = Identities(settings)
        self._endpoint_id = endpoint_id(settings.storage.data_dir)
        self._quick = CapacityLimiter(QUICK)
        self._patient = CapacityLimiter(PATIENT)

    async def post(self, request: Request) -> Response:
        """Answer one request to the service, whatever is in it."""
        return await self._answered(request, self._serve)

    async def post_to_device(self, request: Request) -> Response:
        """Answer one request to the device, whatever is in it."""
        return await self._answered(request, self._describe)

    async def get_wsdl(self, request: Request) -> Response:
        """Answer `?wsdl`; without it, nothing is there to be got."""
        if request.scope["query_string"].lower() != b"wsdl":
            raise HTTPException(405, headers={"allow": "POST"})
        return Response(metadata.wsdl(published.wsdl(), self._site(request.scope)), media_type=FILE_MEDIA_TYPE)

    async def _answered(self, request: Request, serve: Callable[[Request, Body], Awaitable[bytes | None]]) -> Response:
        body = Body(request, self._settings.server.idle_seconds)
        try:
            data = await serve(request, body)
        except Refused as refused:
            log.info("refused with %d: %s", refused.status, refused)
            return Response(status_code=refused.status, headers={"connection": "close"})
        except Throttled as throttled:
            log.warning("refused with 429: %s", throttled)
            return Response(status_code=429, headers={"retry-after": str(math.ceil(throttled.seconds))})
        except Gone:
            log.info("the client left in the middle of its request")
            return Response(status_code=400)  # nobody reads it
        except faults.Fault as fault:
            return await self._fault(fault, body)
        if data is None:
            return Response(status_code=202)
        return Response(data, media_type=MEDIA_TYPE)

    async def _serve(self, request: Request, body: Body) -> bytes:
        media = self._check_head(request)
        caller = self._identities.caller(request.scope)
        if media.kind == "mtom":
            return await self._serve_parts(media, body, caller, request.scope)
        message = operations.opened(await body.all(self._settings.limits.envelope_bytes))
        _compare_actions(media, message)
        if message.header.action in transfer.QUESTIONS:
            return self._describe_service(message, request.scope)
        return await self._answer(operations.read(message), caller)

    def _describe_service(self, message: operations.Message, scope: Mapping[str, Any]) -> bytes:
        """Answer what is asked of the service: where its WSDL is, and whose it is."""
        device = self._settings.device
        return transfer.reply(message, metadata.of_service(self._site(scope), device), device)

    async def _describe(self, request: Request, body: Body) -> bytes | None:
        """Answer what is asked of the device: what it is, or, by a Probe, whether it is what somebody looks for."""
        media = self._check_head(request)
        if media.kind == "mtom":
            raise Refused(415, "a multipart for the device; expected SOAP 1.2 alone")
        message = operations.opened(await body.all(min(QUESTION_BYTES, self._settings.limits.envelope_bytes)))
        _compare_actions(media, message)
        if self._host is not None and message.header.action == discovery.PROBE:
            with operations.related(message):
                question = discovery.question(message.header, message.body)
            return self._host.answer(question, request.scope["server"][0], lenient=True)
        device, site = self._settings.device, self._site(request.scope)
        return transfer.reply(message, metadata.of_device(site, device, self._endpoint_id), device)

    def _site(self, scope: Mapping[str, Any]) -> metadata.Site:
        """Return where we are: as the settings say, or where this very connection has ended; never as its Host says."""
        server = self._settings.server
        origin = server.public_url or metadata.origin(scope["scheme"], *scope["server"])
        return metadata.site(origin, server, self._endpoint_id)

    async def _serve_parts(self, media: mtom.Media, body: Body, caller: Principal, scope: Mapping[str, Any]) -> bytes:
        """Answer a request whose envelope comes with an image, or could have."""
        parts = Parts(media, body, self._settings)
        message = operations.opened(await parts.root())
        _compare_actions(media, message)
        if message.header.action in transfer.QUESTIONS:
            with operations.related(message):
                await parts.nothing_more()
            return self._describe_service(message, scope)
        call = operations.read(message)
        with operations.related(call):
            if isinstance(call.request, processing.SendImageRequest) and call.request.cid is not None:
                await self._take_image(call, call.request, parts, caller)
                return addressing.reply(call.header, processing.SEND_IMAGE_RESPONSE)
            await parts.nothing_more()
        return await self._answer(call, caller)

    async def _take_image(
        self, call: operations.Call, sent: processing.SendImageRequest, parts: Parts, caller: Principal
    ) -> None:
        """Stream the image's part into the spool."""
        receiving = self._service.receiving(sent.token, caller, sent.document_id, sent.format, call.id)
        async with Upload(receiving) as upload:
            async for data in parts.image(sent.cid or ""):
                await upload.write(data)

    async def _answer(self, call: operations.Call, caller: Principal) -> bytes:
        known = operations.glance(call, self._service, caller)
        if known is not None:
            return known
        limiter = self._patient if call.operation.waits else self._quick
        return await to_thread.run_sync(operations.answer, call, self._service, caller, limiter=limiter)

    async def _fault(self, fault: faults.Fault, body: Body) -> Response:
        """Answer with a fault; its sender may still be sending, and some read the answer only after that."""
        if fault.subcode == "dsp:ServerErrorInternalError":
            log.error("internal error: %s", fault, exc_info=fault.__cause__)
        else:
            log.info("fault %s: %s", fault.subcode or fault.code, fault)
        drained = await body.drain(DRAIN)
        return Response(
            faults.write(fault, fault.relates_to),
            status_code=fault.status(self._settings.server.always_500),
            media_type=SOAP11_MEDIA_TYPE if fault.soap11 else MEDIA_TYPE,
            headers={} if drained else {"connection": "close"},
        )

    def _check_head(self, request: Request) -> mtom.Media:
        """Refuse by the head what cannot be served; return what the body is."""
        headers = request.headers
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, f"content-encoding {headers['content-encoding']!r}; expected none")
        media = mtom.media(headers.get("content-type", ""))
        if media.kind == "other":
            raise Refused(415, f"content-type {headers.get('content-type', '')!r}; expected SOAP 1.2, or MTOM")
        limit = self._settings.limits.envelope_bytes
        if media.kind == "mtom":
            limit += self._settings.limits.image_bytes + FRAMING
        if int(headers.get("content-length", "0")) > limit:
            raise Refused(413, f"content-length {headers['content-length']}; expected at most {limit}")
        return media


class Body:
    """The bytes of a request as they arrive; a silence within them ends the request."""

    def __init__(self, request: Request, idle_seconds: float) -> None:
        self._receive = request.receive
        self._idle_seconds = idle_seconds
        self._over = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what arrives; may be left and taken up again."""
        while not self._over:
            yield await self._next()

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(self._idle_seconds):
                message = await self._receive()
        except TimeoutError:
            self._over = True
            raise Refused(408, f"the body was silent for {self._idle_seconds:g} s") from None
        self._over = not message.get("more_body", False)
        if message["type"] == "http.disconnect":
            raise Gone
        body: bytes = message.get("body", b"")
        return body

    async def all(self, limit: int) -> bytes:
        """Return the whole body; raise a fault if it is longer than *limit* bytes."""
        data = b""
        while not self._over:
            data += await self._next()
            if len(data) > limit:
                raise faults.malformed(f"the envelope is longer than {limit} bytes")
        return data

    async def drain(self, limit: int) -> bool:
        """Throw away what is left; return False if it was more than *limit* bytes, or did not come."""
        try:
            async for chunk in self.chunks():
                limit -= len(chunk)
                if limit < 0:
                    return False
        except operations.NoAnswer:
            return False
        return True


class Parts:
    """A multipart body: its root first, then perhaps one image."""

    def __init__(self, media: mtom.Media, body: Body, settings: Settings) -> None:
        self._body = body
        self._splitter = mtom.Splitter(
            media.boundary,
            media.start,
            root_limit=settings.limits.envelope_bytes,
            part_limit=settings.limits.image_bytes,
        )
        self._events = self._read()

    async def root(self) -> bytes:
        """Return the envelope."""
        event = await anext(self._events, None)
        if not isinstance(event, mtom.Root):
            raise mtom.MtomError("the message has no root part")
        return event.data

    async def image(self, cid: str) -> AsyncIterator[bytes | memoryview]:
        """Yield the bytes of the part that *cid* names, to the last; raise a fault if there is no such part."""
        found = False
        async for event in self._events:
            if isinstance(event, mtom.PartStarted):
                found = mtom.same_content_id(cid, event.content_id)
                if not found:
                    raise faults.invalid_argument("ImageData", cid, f"the part is called {event.content_id[:64]!r}")
            elif isinstance(event, mtom.PartData):
                yield event.data
        if not found:
            raise faults.invalid_argument("ImageData", cid, "the message has no part with this Content-ID")

    async def nothing_more(self) -> None:
        """Read to the end; raise a fault if there is a part that nobody asked for."""
        async for event in self._events:
            if isinstance(event, mtom.PartStarted):
                raise mtom.MtomError("the message has a part that nothing in it refers to")

    async def _read(self) -> AsyncIterator[mtom.Event]:
        async for chunk in self._body.chunks():
            for event in self._splitter.feed(chunk):
                yield event
        self._splitter.close()


def _compare_actions(media: mtom.Media, message: operations.Message) -> None:
    if media.action and media.action.strip() != message.header.action:
        log.warning("the Content-Type's action %r is not the message's %r", media.action[:255], message.header.action)
