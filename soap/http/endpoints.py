"""What answers at each address: the device, which says what it is, and the two services that it hosts.

A message comes in here as bytes, and its answer goes out as bytes; what it means is said elsewhere, row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from postscan.soap.http.body import BodyRefused, HttpRequest, Parts
from postscan.soap.http.identity import Identities
from postscan.soap.http.upload import Upload
from postscan.soap.message import addressing
from postscan.soap.message.request import SoapRequest
from postscan.soap.metadata import messages as metadata_messages
from postscan.soap.metadata import transfer
from postscan.soap.metadata.endpoint_id import endpoint_id
from postscan.soap.services import operations, processing

QUESTION_BYTES: Final = 32_767
"""Largest envelope that the device takes (DPWS: MAX_ENVELOPE_SIZE)."""

QUICK: Final = 32
PATIENT: Final = 64
"""Threads for the verbs that answer at once, and for those that may wait."""

PORT_TYPES: Final = {
    EventService.PROCESSING: operations.PROCESSING,
    EventService.CONFIGURATION: operations.CONFIGURATION,
}

Scope = Mapping[str, Any]


class EventingParts(NamedTuple):
    """The two halves of it: who takes subscriptions, and who tells the subscribers."""

    manager: SubscriptionManager
    notifier: Notifier


class PublicUrl:
    """Knows where we are: as the settings say, or where this very connection has ended; never as its Host says."""

    def __init__(self, settings: Settings) -> None:
        self.endpoint_id = endpoint_id(settings.storage.data_dir)
        self._settings = settings

    def site(self, scope: Scope) -> metadata_messages.ServerAddress:
        """Return where the sender of the request of this ASGI scope finds us."""
        origin = self._settings.server.public_url or metadata_messages.origin(scope["scheme"], *scope["server"])
        return metadata_messages.site(origin, self._settings, self.endpoint_id)


class DeviceEndpoint:
    """The device at its address: it says what it is, and, to a Probe, whether it is what somebody looks for."""

    def __init__(self, settings: Settings, where: PublicUrl, host: Advertisement | None) -> None:
        self._settings = settings
        self._where = where
        self._host = host

    async def serve(self, request: HttpRequest) -> bytes | None:
        """Answer one message; None is an answer without words."""
        if request.media.kind == "mtom":
            raise BodyRefused(415, "a multipart for the device; expected SOAP 1.2 alone")
        limit = min(QUESTION_BYTES, self._settings.limits.envelope_bytes)
        message = request.parse(await request.body.all(limit))
        if self._host is not None and message.header.action == discovery_messages.PROBE:
            question = discovery_messages.question(message.header, message.body)
            return self._host.response_to(question, request.scope["server"][0], lenient=True)
        device, site = self._settings.device, self._where.site(request.scope)
        return transfer.reply(message, metadata_messages.of_device(site, device, self._where.endpoint_id), device)


class ServiceHandler:
    """What both services do alike: they describe themselves, take subscriptions, and carry out their operations."""

    def __init__(
        self, service: PostScanService, settings: Settings, where: PublicUrl, eventing: EventingParts | None
    ) -> None:
        self._service = service
        self._settings = settings
        self._where = where
        self._eventing = eventing
        self._quick = CapacityLimiter(QUICK)
        self._patient = CapacityLimiter(PATIENT)

    def describe(self, message: SoapRequest, port: EventService, request: HttpRequest) -> bytes:
        """Answer what is asked of a service itself: where its WSDL is, and whose it is."""
        device, site = self._settings.device, self._where.site(request.scope)
        return transfer.reply(message, metadata_messages.of_service(site, site.at(port), device), device)

    async def carry_out(self, message: SoapRequest, port: EventService, by: Principal, request: HttpRequest) -> bytes:
        """Answer a message that asks for something to be done."""
        if self._eventing is not None and message.header.action in VERBS:
            return await self._subscribe(self._eventing, message, port, by, request)
        call = operations.read(message, PORT_TYPES[port])
        known = operations.respond_from_cache(call, self._service, by)
        if known is not None:
            return known
        if self._eventing is not None and call.operation.once:
            self._announce(self._eventing.notifier, call, by, request)
        limiter = self._patient if call.operation.waits else self._quick
        return await to_thread.run_sync(operations.respond, call, self._service, by, limiter=limiter)

    def _announce(
        self, notifier: Notifier, call: operations.OperationCall, by: Principal, request: HttpRequest
    ) -> None:
        """Let what the call does be told as soon as it is answered; of a new job nobody hears before that."""
        request.until_sent.callback(notifier.wake)
        if isinstance(call.request, processing.CreateRequest):
            request.until_sent.enter_context(notifier.creating(by))

    async def _subscribe(
        self,
        eventing: EventingParts,
        message: SoapRequest,
        port: EventService,
        by: Principal,
        request: HttpRequest,
    ) -> bytes:
        scope = request.scope
        service, peer = self._where.site(scope).at(port).address, (scope["client"] or ("",))[0]
        answer = await to_thread.run_sync(
            eventing.manager.respond,
            message,
            port,
            by,
            peer,
            service,
            tuple(scope["server"]),
            scope["path"],
            limiter=self._patient,
        )
        eventing.notifier.relist()
        return answer


class ProcessingEndpoint:
    """The processing service at its address, for devices; the images come as a second part of their message."""

    def __init__(
        self, service: PostScanService, settings: Settings, counter: ServiceHandler, identities: Identities
    ) -> None:
        self._service = service
        self._settings = settings
        self._counter = counter
        self._identities = identities

    async def serve(self, request: HttpRequest) -> bytes:
        """Answer one message."""
        if not self._identities.may_connect(request.scope):
            raise BodyRefused(403, "a device without a certificate, from a network that identity.devices does not have")
        caller = self._identities.caller(request.scope)
        if request.media.kind == "mtom":
            return await self._serve_parts(request, caller)
        data = await request.body.all(self._settings.limits.envelope_bytes)
        return await self._reply(request.parse(data), caller, request)

    async def _serve_parts(self, request: HttpRequest, caller: Principal) -> bytes:
        """Answer a message whose envelope comes with an image, or could have."""
        parts = Parts(request.media, request.body, self._settings)
        message = request.parse(await parts.root())
        if message.header.action == processing.SEND_IMAGE:
            call = operations.read(message)
            if call.request.cid is not None:
                await self._take_image(call, call.request, parts, caller)
                return addressing.reply(call.header, processing.SEND_IMAGE_RESPONSE)
        await parts.nothing_more()
        return await self._reply(message, caller, request)

    async def _take_image(
        self, call: operations.OperationCall, sent: processing.SendImageRequest, parts: Parts, caller: Principal
    ) -> None:
        """Stream the image's part into the spool."""
        open_image = partial(self._service.open_image, sent.token, caller, sent.document_id, sent.format, call.id)
        async with Upload(open_image) as upload:
            async for data in parts.image(sent.cid or ""):
                await upload.write(data)

    async def _reply(self, message: SoapRequest, caller: Principal, request: HttpRequest) -> bytes:
        if message.header.action in transfer.QUESTIONS:
            return self._counter.describe(message, EventService.PROCESSING, request)
        return await self._counter.carry_out(message, EventService.PROCESSING, caller, request)


class ConfigurationEndpoint:
    """The configuration service at its address, for administrators; anybody may read what it is."""

    def __init__(self, settings: Settings, counter: ServiceHandler, identities: Identities) -> None:
        self._settings = settings
        self._counter = counter
        self._identities = identities

    async def serve(self, request: HttpRequest) -> bytes:
        """Answer one message."""
        if request.media.kind == "mtom":
            raise BodyRefused(415, "a multipart for the configuration service; expected SOAP 1.2 alone")
        data = await request.body.all(self._settings.limits.envelope_bytes)
        message = request.parse(data)
        if message.header.action in transfer.QUESTIONS:
            return self._counter.describe(message, EventService.CONFIGURATION, request)
        by = operations.administrator(message, self._identities.administrator(request.scope))
        return await self._counter.carry_out(message, EventService.CONFIGURATION, by, request)
