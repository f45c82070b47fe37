"""The endpoints of the server: the device, and the two services that it hosts.

Each reads a message from an HTTP request and returns the envelope of the response. The operations themselves are rows
of `postscan.soap.services.operations`, `postscan.soap.metadata.transfer` and the subscription manager.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from anyio import CapacityLimiter, to_thread

from postscan.core.model.principal import Principal
from postscan.core.model.subscription import EventService
from postscan.core.service.jobs import PostScanService
from postscan.core.settings import Settings
from postscan.soap.discovery import messages as discovery_messages
from postscan.soap.discovery.responder import Advertisement
from postscan.soap.eventing.notifier import Notifier
from postscan.soap.eventing.subscription_manager import VERBS, SubscriptionManager
from postscan.soap.http.body import BodyRefused, HttpRequest, MessageBody
from postscan.soap.http.identity import Identities
from postscan.soap.http.upload import Upload
from postscan.soap.message.request import SoapRequest
from postscan.soap.metadata import messages as metadata_messages
from postscan.soap.metadata import transfer
from postscan.soap.metadata.endpoint_id import endpoint_id
from postscan.soap.services import operations, processing

QUESTION_BYTES: Final = 32_767
"""Largest envelope that the device accepts, in bytes (DPWS: MAX_ENVELOPE_SIZE)."""

SHORT_CALLS: Final = 32
LONG_CALLS: Final = 64
"""Threads for operations that return at once, and for operations that may wait."""

PORT_TYPES: Final = {
    EventService.PROCESSING: operations.PROCESSING,
    EventService.CONFIGURATION: operations.CONFIGURATION,
}

Scope = Mapping[str, Any]


class EventingParts(NamedTuple):
    """The two parts of eventing: one manages subscriptions, the other sends notifications."""

    manager: SubscriptionManager
    notifier: Notifier


class PublicUrl:
    """The address of the server: `server.public_url`, or the local end of the connection; never the Host header."""

    def __init__(self, settings: Settings) -> None:
        self.endpoint_id = endpoint_id(settings.storage.data_dir)
        self._settings = settings

    def site(self, scope: Scope) -> metadata_messages.ServerAddress:
        """Return the addresses at which the sender of the request of this ASGI scope reaches the server."""
        origin = self._settings.server.public_url or metadata_messages.origin(scope["scheme"], *scope["server"])
        return metadata_messages.site(origin, self._settings, self.endpoint_id)


class DeviceEndpoint:
    """The device: returns its metadata, and answers a Probe that is sent to it."""

    def __init__(self, settings: Settings, public_url: PublicUrl, advertisement: Advertisement | None) -> None:
        self._settings = settings
        self._public_url = public_url
        self._advertisement = advertisement

    async def serve(self, request: HttpRequest) -> bytes | None:
        """Return the response to one message; None if there is no match to send."""
        if request.media.kind == "mtom":
            raise BodyRefused(415, "a multipart for the device; expected SOAP 1.2 alone")
        limit = min(QUESTION_BYTES, self._settings.limits.envelope_bytes)
        message = request.parse(await request.body.all(limit))
        if self._advertisement is not None and message.header.action == discovery_messages.PROBE:
            probe = discovery_messages.question(message.header, message.body)
            return self._advertisement.response_to(probe, request.scope["server"][0], lenient=True)
        device, site = self._settings.device, self._public_url.site(request.scope)
        sections = metadata_messages.of_device(site, device, self._public_url.endpoint_id)
        return transfer.reply(message, sections, device)


class ServiceHandler:
    """The part that both services share: metadata, subscriptions, and the operations of a port type."""

    def __init__(
        self, service: PostScanService, settings: Settings, public_url: PublicUrl, eventing: EventingParts | None
    ) -> None:
        self._service = service
        self._settings = settings
        self._public_url = public_url
        self._eventing = eventing
        self._short_calls = CapacityLimiter(SHORT_CALLS)
        self._long_calls = CapacityLimiter(LONG_CALLS)

    def describe(self, message: SoapRequest, port: EventService, request: HttpRequest) -> bytes:
        """Return the metadata of a service: the address of its WSDL, and its host."""
        device, site = self._settings.device, self._public_url.site(request.scope)
        return transfer.reply(message, metadata_messages.of_service(site, site.at(port), device), device)

    async def execute(
        self, message: SoapRequest, port: EventService, by: Principal, request: HttpRequest, body: MessageBody
    ) -> bytes:
        """Run the operation that a message asks for, and return the envelope of the response."""
        if self._eventing is not None and message.header.action in VERBS:
            return await self._manage_subscription(self._eventing, message, port, by, request)
        call = operations.read(message, PORT_TYPES[port])
        cached = operations.respond_from_cache(call, self._service, by)
        if cached is not None:
            return cached
        if self._eventing is not None and call.operation.once:
            self._notify_when_sent(self._eventing.notifier, call, by, request)
        if call.operation.takes_image:
            return await self._receive_image(call, by, body)
        limiter = self._long_calls if call.operation.waits else self._short_calls
        return await to_thread.run_sync(operations.respond, call, self._service, by, limiter=limiter)

    async def _receive_image(self, call: operations.OperationCall, by: Principal, body: MessageBody) -> bytes:
        """Open the image, write its bytes, commit it, and return the envelope of the response."""
        image = await _image(call.request, body)
        async with Upload(partial(operations.run, call, self._service, by)) as upload:
            async for data in image:
                await upload.write(data)
        return operations.encode(call, None)

    def _notify_when_sent(
        self, notifier: Notifier, call: operations.OperationCall, by: Principal, request: HttpRequest
    ) -> None:
        """Wake the notifier when the response is sent; no event of a new job is sent before that."""
        request.until_sent.callback(notifier.wake)
        if isinstance(call.request, processing.CreateRequest):
            request.until_sent.enter_context(notifier.creating(by))

    async def _manage_subscription(
        self,
        eventing: EventingParts,
        message: SoapRequest,
        port: EventService,
        by: Principal,
        request: HttpRequest,
    ) -> bytes:
        scope = request.scope
        service, peer = self._public_url.site(scope).at(port).address, (scope["client"] or ("",))[0]
        response = await to_thread.run_sync(
            eventing.manager.respond,
            message,
            port,
            by,
            peer,
            service,
            tuple(scope["server"]),
            scope["path"],
            limiter=self._long_calls,
        )
        eventing.notifier.relist()
        return response


class ProcessingEndpoint:
    """The processing service, for devices; an image arrives in the envelope or as the second part of the body."""

    def __init__(self, settings: Settings, handler: ServiceHandler, identities: Identities) -> None:
        self._settings = settings
        self._handler = handler
        self._identities = identities

    async def serve(self, request: HttpRequest) -> bytes:
        """Return the response to one message."""
        if not self._identities.may_connect(request.scope):
            raise BodyRefused(403, "a device without a certificate, from a network that identity.devices does not have")
        caller = self._identities.caller(request.scope)
        body = request.message_body(self._settings)
        message = request.parse(await body.envelope())
        if message.header.action != processing.SEND_IMAGE:
            await body.end()
        if message.header.action in transfer.OPERATIONS:
            return self._handler.describe(message, EventService.PROCESSING, request)
        return await self._handler.execute(message, EventService.PROCESSING, caller, request, body)


class ConfigurationEndpoint:
    """The configuration service, for administrators; every client may read its metadata."""

    def __init__(self, settings: Settings, handler: ServiceHandler, identities: Identities) -> None:
        self._settings = settings
        self._handler = handler
        self._identities = identities

    async def serve(self, request: HttpRequest) -> bytes:
        """Return the response to one message."""
        if request.media.kind == "mtom":
            raise BodyRefused(415, "a multipart for the configuration service; expected SOAP 1.2 alone")
        body = request.message_body(self._settings)
        message = request.parse(await body.envelope())
        if message.header.action in transfer.OPERATIONS:
            return self._handler.describe(message, EventService.CONFIGURATION, request)
        by = operations.administrator(message, self._identities.administrator(request.scope))
        return await self._handler.execute(message, EventService.CONFIGURATION, by, request, body)


async def _image(sent: processing.SendImageRequest, body: MessageBody) -> AsyncIterator[bytes | memoryview]:
    """Return the bytes of an image: those in the envelope, or those of the part that it refers to.

    Raises a fault if there is no such part, or a part that the envelope does not refer to.
    """
    if sent.inline is None:
        return body.image(sent.cid or "")
    await body.end()
    return _inline(sent.inline)


async def _inline(data: bytes) -> AsyncIterator[bytes]:
    yield data
