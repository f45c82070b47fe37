"""What answers at each address: the device, which says what it is, and the service that it hosts.

A message comes in here as bytes, and its answer goes out as bytes; what it means is said elsewhere, row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from anyio import CapacityLimiter, to_thread

from postscan.core.model import Principal
from postscan.core.service import PostScanService
from postscan.core.settings import Settings
from postscan.soap import addressing, discovery, metadata, operations, processing, transfer
from postscan.soap.body import Exchange, Parts, Refused
from postscan.soap.endpoint import endpoint_id
from postscan.soap.identity import Identities
from postscan.soap.responding import Host
from postscan.soap.upload import Upload

QUESTION_BYTES: Final = 32_767
"""Largest envelope that the device takes (DPWS: MAX_ENVELOPE_SIZE)."""

QUICK: Final = 32
PATIENT: Final = 64
"""Threads for the verbs that answer at once, and for those that may wait."""

Scope = Mapping[str, Any]


class Whereabouts:
    """Knows where we are: as the settings say, or where this very connection has ended; never as its Host says."""

    def __init__(self, settings: Settings) -> None:
        self.endpoint_id = endpoint_id(settings.storage.data_dir)
        self._settings = settings

    def site(self, scope: Scope) -> metadata.Site:
        """Return where the sender of the request of this ASGI scope finds us."""
        origin = self._settings.server.public_url or metadata.origin(scope["scheme"], *scope["server"])
        return metadata.site(origin, self._settings, self.endpoint_id)


class Device:
    """The device at its address: it says what it is, and, to a Probe, whether it is what somebody looks for."""

    def __init__(self, settings: Settings, where: Whereabouts, host: Host | None) -> None:
        self._settings = settings
        self._where = where
        self._host = host

    async def serve(self, exchange: Exchange) -> bytes | None:
        """Answer one message; None is an answer without words."""
        if exchange.media.kind == "mtom":
            raise Refused(415, "a multipart for the device; expected SOAP 1.2 alone")
        limit = min(QUESTION_BYTES, self._settings.limits.envelope_bytes)
        message = exchange.agreeing(operations.opened(await exchange.body.all(limit)))
        if self._host is not None and message.header.action == discovery.PROBE:
            with operations.related(message):
                question = discovery.question(message.header, message.body)
            return self._host.answer(question, exchange.scope["server"][0], lenient=True)
        device, site = self._settings.device, self._where.site(exchange.scope)
        return transfer.reply(message, metadata.of_device(site, device, self._where.endpoint_id), device)


class Processing:
    """The processing service at its address: it describes itself, and carries out the operations of devices."""

    def __init__(self, service: PostScanService, settings: Settings, where: Whereabouts) -> None:
        self._service = service
        self._settings = settings
        self._where = where
        self._identities = Identities(settings)
        self._quick = CapacityLimiter(QUICK)
        self._patient = CapacityLimiter(PATIENT)

    async def serve(self, exchange: Exchange) -> bytes:
        """Answer one message."""
        caller = self._identities.caller(exchange.scope)
        if exchange.media.kind == "mtom":
            return await self._serve_parts(exchange, caller)
        data = await exchange.body.all(self._settings.limits.envelope_bytes)
        return await self._reply(exchange.agreeing(operations.opened(data)), caller, exchange)

    async def _serve_parts(self, exchange: Exchange, caller: Principal) -> bytes:
        """Answer a message whose envelope comes with an image, or could have."""
        parts = Parts(exchange.media, exchange.body, self._settings)
        message = exchange.agreeing(operations.opened(await parts.root()))
        if message.header.action == processing.SEND_IMAGE:
            call = operations.read(message)
            if call.request.cid is not None:
                with operations.related(call):
                    await self._take_image(call, call.request, parts, caller)
                return addressing.reply(call.header, processing.SEND_IMAGE_RESPONSE)
        with operations.related(message):
            await parts.nothing_more()
        return await self._reply(message, caller, exchange)

    async def _take_image(
        self, call: operations.Call, sent: processing.SendImageRequest, parts: Parts, caller: Principal
    ) -> None:
        """Stream the image's part into the spool."""
        receiving = self._service.receiving(sent.token, caller, sent.document_id, sent.format, call.id)
        async with Upload(receiving) as upload:
            async for data in parts.image(sent.cid or ""):
                await upload.write(data)

    async def _reply(self, message: operations.Message, caller: Principal, exchange: Exchange) -> bytes:
        if message.header.action in transfer.QUESTIONS:
            device, site = self._settings.device, self._where.site(exchange.scope)
            return transfer.reply(message, metadata.of_service(site, site.processing, device), device)
        call = operations.read(message)
        known = operations.glance(call, self._service, caller)
        if known is not None:
            return known
        limiter = self._patient if call.operation.waits else self._quick
        return await to_thread.run_sync(operations.answer, call, self._service, caller, limiter=limiter)
