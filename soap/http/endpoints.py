"""The endpoints of the server: the device, and the two services that it hosts.

Each reads a message from an HTTP request and returns the envelope of the response. The operations themselves are rows
of `postscan.soap.services.operations`, `postscan.soap.metadata.transfer` and the subscription manager.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

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
from postscan.soap.http.threads import FairThreads, Waiters
from postscan.soap.http.turns import LoopTurns
from postscan.soap.http.upload import Upload
from postscan.soap.message.request import SoapRequest
from postscan.soap.metadata import messages as metadata_messages
from postscan.soap.metadata import transfer
from postscan.soap.metadata.endpoint_id import endpoint_id
from postscan.soap.services import operations, processing

QUESTION_BYTES: Final = 32_767
"""Largest envelope that the device accepts, in bytes (DPWS: MAX_ENVELOPE_SIZE)."""

LARGE_ENVELOPE: Final = 16 * 1024
"""Bytes of an envelope that is parsed in a thread; a smaller one takes about as long as the change of threads."""

PORT_TYPES: Final = {
    EventService.PROCESSING: operations.PROCESSING,
    EventService.CONFIGURATION: operations.CONFIGURATION,
}

Scope = Mapping[str, Any]
_Result = TypeVar("_Result")


class Parsing:
    """Parses what a client has sent, in a thread if its envelope is large; clients take turns.

    What is parsed is read at once, and not behind other messages that wait to be parsed: its tree takes several times
    as much memory as its text. A small envelope is parsed in the turn of its request, or of the read that completes it:
    else a client could let many requests have their turns, and then send the ends of all. A large read has no turn, and
    may complete the small envelope of a package; that one takes a turn here.
    """

    def __init__(self, turns: LoopTurns) -> None:
        self._turns = turns
        self._parsing = FairThreads(1, 1)
        self._reading = FairThreads(1, 1)

    async def message(self, request: HttpRequest, envelope: bytes) -> SoapRequest:
        """Return the SOAP request in *envelope*; raise `Fault` if it is none."""
        request.is_large = len(envelope) > LARGE_ENVELOPE
        if request.body.has_waited and request.media.kind == "mtom" and not request.is_large:
            await self._turns.wait(request.address)
        return await self._run(self._parsing, request, request.parse, envelope)

    async def run(self, request: HttpRequest, read: Callable[..., _Result], *arguments: Any) -> _Result:
        """Call *read*, which works on the content of a message, and return its result."""
        return await self._run(self._reading, request, read, *arguments)

    async def _run(
        self, threads: FairThreads, request: HttpRequest, work: Callable[..., _Result], *arguments: Any
    ) -> _Result:
        if not request.is_large:
            return work(*arguments)
        return await threads.run(request.address, work, *arguments)


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

    def __init__(
        self, settings: Settings, public_url: PublicUrl, advertisement: Advertisement | None, parsing: Parsing
    ) -> None:
        self._settings = settings
        self._parsing = parsing
        self._public_url = public_url
        self._advertisement = advertisement

    async def serve(self, request: HttpRequest) -> bytes | None:
        """Return the response to one message; None if there is no match to send."""
        if request.media.kind == "mtom":
            raise BodyRefused(415, "a multipart for the device; expected SOAP 1.2 alone")
        limit = min(QUESTION_BYTES, self._settings.limits.envelope_bytes)
        message = await self._parsing.message(request, await request.body.all(limit))
        if self._advertisement is not None and message.header.action == discovery_messages.PROBE:
            probe = discovery_messages.question(message.header, message.body)
            return self._advertisement.response_to(probe, request.scope["server"][0], lenient=True)
        device, site = self._settings.device, self._public_url.site(request.scope)
        sections = metadata_messages.of_device(site, device, self._public_url.endpoint_id)
        return transfer.reply(message, sections, device)


class ServiceHandler:
    """The part that both services share: metadata, subscriptions, and the operations of a port type."""

    def __init__(
        self,
        service: PostScanService,
        settings: Settings,
        public_url: PublicUrl,
        eventing: EventingParts | None,
        parsing: Parsing,
    ) -> None:
        self._service = service
        self._settings = settings
        self._public_url = public_url
        self._eventing = eventing
        self._threads = {
            operations.Threads.SHORT: FairThreads(32, 8),
            operations.Threads.CREATE: FairThreads(64, 16),
            operations.Threads.CANCEL: FairThreads(16, 4),
        }
        self._subscribing = FairThreads(64, 16)
        self._uploading = FairThreads(40, 20)
        self._waiters = Waiters()
        self._parsing = parsing

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
        call = await self._parsing.run(request, operations.read, message, PORT_TYPES[port])
        cached = operations.respond_from_cache(call, self._service, by)
        if cached is not None:
            return cached
        if self._eventing is not None and call.operation.once:
            self._notify_when_sent(self._eventing.notifier, call, by, request)
        if call.operation.takes_image:
            return await self._receive_image(call, by, body)
        threads = self._threads[call.operation.threads]
        if not call.operation.waits:
            return await threads.run(by.name, operations.respond, call, self._service, by)
        result = await self._waiters.run(by.name, threads, operations.run(call, self._service, by))
        return operations.encode(call, result)

    async def record_refusal(self, message: SoapRequest, by: Principal) -> None:
        """Store a line of the audit trail about a caller of the configuration service who is no administrator."""
        short = self._threads[operations.Threads.SHORT]
        await short.run(by.name, self._service.refuse_administration, by, _name(message.header.action))

    async def _receive_image(self, call: operations.OperationCall, by: Principal, body: MessageBody) -> bytes:
        """Open the image, write its bytes, commit it, and return the envelope of the response."""
        image = await _image(call.request, body)
        run = partial(self._uploading.run, by.name)
        async with Upload(partial(operations.run, call, self._service, by), run) as upload:
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
        service = self._public_url.site(scope).at(port).address
        response = await self._subscribing.run(
            by.name,
            eventing.manager.respond,
            message,
            port,
            by,
            request.address,
            service,
            tuple(scope["server"]),
            scope["path"],
        )
        eventing.notifier.relist()
        return response


class ProcessingEndpoint:
    """The processing service, for devices; an image arrives in the envelope or as the second part of the body."""

    def __init__(self, settings: Settings, handler: ServiceHandler, identities: Identities, parsing: Parsing) -> None:
        self._settings = settings
        self._handler = handler
        self._identities = identities
        self._parsing = parsing

    async def serve(self, request: HttpRequest) -> bytes:
        """Return the response to one message."""
        if not self._identities.may_connect(request.scope):
            raise BodyRefused(403, "a device without a certificate, from a network that identity.devices does not have")
        caller = self._identities.caller(request.scope)
        body = request.message_body(self._settings)
        message = await self._parsing.message(request, await body.envelope())
        if message.header.action != processing.SEND_IMAGE:
            await body.end()
        if message.header.action in transfer.OPERATIONS:
            return self._handler.describe(message, EventService.PROCESSING, request)
        return await self._handler.execute(message, EventService.PROCESSING, caller, request, body)


class ConfigurationEndpoint:
    """The configuration service, for administrators; every client may read its metadata."""

    def __init__(self, settings: Settings, handler: ServiceHandler, identities: Identities, parsing: Parsing) -> None:
        self._settings = settings
        self._handler = handler
        self._identities = identities
        self._parsing = parsing

    async def serve(self, request: HttpRequest) -> bytes:
        """Return the response to one message."""
        if request.media.kind == "mtom":
            raise BodyRefused(415, "a multipart for the configuration service; expected SOAP 1.2 alone")
        body = request.message_body(self._settings)
        message = await self._parsing.message(request, await body.envelope())
        if message.header.action in transfer.OPERATIONS:
            return self._handler.describe(message, EventService.CONFIGURATION, request)
        found = self._identities.administrator(request.scope)
        if found is None:
            await self._handler.record_refusal(message, self._identities.caller(request.scope))
        by = operations.administrator(message, found)
        return await self._handler.execute(message, EventService.CONFIGURATION, by, request, body)


def _name(action: str) -> str:
    """Return the name of an operation for the audit trail, which has no text of a refused caller."""
    return action.rpartition("/")[2] if action in operations.CONFIGURATION or action in VERBS else "another action"


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
