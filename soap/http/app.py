"""The ASGI application: routes, media types, limits and status codes; errors become faults or statuses here.

A request is refused as early as possible: by its head, its envelope, the state of the job, its bytes. A request that is
refused below SOAP gets a bare status, every other one a fault.
"""

from __future__ import annotations

import contextlib
import logging
import math
import posixpath
import time
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from postscan.core import traces
from postscan.core.errors import Throttled
from postscan.core.model.rate_limit import RateLimit
from postscan.core.model.subscription import EventService
from postscan.core.service.jobs import PostScanService
from postscan.core.settings import Settings
from postscan.soap.discovery import messages as discovery_messages
from postscan.soap.discovery.responder import Advertisement
from postscan.soap.eventing.subscription_manager import BELOW
from postscan.soap.http.body import Body, BodyRefused, ClientDisconnected, HttpRequest
from postscan.soap.http.endpoints import (
    ConfigurationEndpoint,
    DeviceEndpoint,
    EventingParts,
    Parsing,
    ProcessingEndpoint,
    PublicUrl,
    ServiceHandler,
)
from postscan.soap.http.identity import Identities
from postscan.soap.http.turns import LoopTurns
from postscan.soap.message import faults, mtom
from postscan.soap.message.faults import Fault
from postscan.soap.metadata import messages as metadata_messages
from postscan.soap.metadata import wsdl_files
from postscan.soap.request_counts import DEVICE, NO_FAULT, RequestCounts

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/soap+xml; charset=utf-8"
SOAP11_MEDIA_TYPE: Final = "text/xml; charset=utf-8"
FILE_MEDIA_TYPE: Final = "text/xml; charset=utf-8"
FRAMING: Final = 64 * 1024
"""Bytes that boundaries and part headers may add to envelope and image."""

DRAIN: Final = 16 << 20
"""Bytes of a refused request that are read and dropped, so that its sender reads the fault (decision 8)."""

LOG_SECONDS: Final = 60.0
"""Seconds between two log lines about throttled requests of one client to one address."""

INTERNAL: Final = ("dsp:ServerErrorInternalError", "dsc:ServerErrorInternalError")

Serve = Callable[[HttpRequest], Awaitable[bytes | None]]


def create_app(
    service: PostScanService,
    settings: Settings,
    advertisement: Advertisement | None = None,
    eventing: EventingParts | None = None,
    identities: Identities | None = None,
    turns: LoopTurns | None = None,
    counts: RequestCounts | None = None,
) -> Starlette:
    """Return the ASGI application of both services and of the device that hosts them.

    *advertisement* answers Probes that are sent to the device, *eventing* manages subscriptions; without them these are
    unknown actions. *turns* are those of the connections; *counts* counts the requests. Raises `SettingsError` if the
    endpoint identifier of the server can be neither read nor stored.
    """
    public_url, identities = PublicUrl(settings), identities or Identities(settings)
    parsing = Parsing(turns or LoopTurns())
    handler = ServiceHandler(service, settings, public_url, eventing, parsing)
    counts = counts or RequestCounts()
    device = SoapEndpoint(DeviceEndpoint(settings, public_url, advertisement, parsing).serve, settings, counts, DEVICE)
    processing = SoapEndpoint(
        ProcessingEndpoint(settings, handler, identities, parsing).serve,
        settings,
        counts,
        EventService.PROCESSING.value,
    )
    configuration = SoapEndpoint(
        ConfigurationEndpoint(settings, handler, identities, parsing).serve,
        settings,
        counts,
        EventService.CONFIGURATION.value,
        faults.of_configuration,
    )
    server = settings.server
    app = Starlette(
        routes=[
            *_service_routes(server.path, processing),  # first, since most requests are for it
            *_service_routes(server.configuration_path, configuration),
            Route(server.device_path, device, methods=["POST"]),
            Route(discovery_messages.DIRECTED_PATH, device, methods=["POST"]),
            *_wsdl_routes(settings, public_url),
        ],
        exception_handlers={HTTPException: _not_served},
    )
    app.router.redirect_slashes = False  # a redirection would repeat the Host header of the request
    return app


class SoapEndpoint:
    """One address that takes POST: every request gets a SOAP message, a fault, or a bare HTTP status.

    Errors become faults here, and faults are related to their request here. *translate* returns a fault with the
    subcode, reason and detail of the service at this address. *counts* counts its requests under the name *service*.
    """

    def __init__(
        self,
        serve: Serve,
        settings: Settings,
        counts: RequestCounts,
        service: str,
        translate: Callable[[Fault], Fault] = lambda fault: fault,
    ) -> None:
        self._serve = serve
        self._settings = settings
        self._counts = counts
        self._service = service
        self._translate = translate
        self._logged = RateLimit(1, LOG_SECONDS, time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and send the response."""
        with contextlib.ExitStack() as until_sent:
            note = until_sent.enter_context(traces.span("request", service=self._service))
            response = await self._respond(Request(scope, receive), until_sent, note)
            try:
                await response(scope, receive, send)
            except (RuntimeError, OSError) as error:  # raised by the transport when the connection is closed
                log.info("client disconnected before the response", extra={"reason": str(error)})

    async def _respond(self, received: Request, until_sent: contextlib.ExitStack, note: traces.Note) -> Response:
        request = HttpRequest(received.scope, Body(received, self._settings.server), until_sent, note=note)
        try:
            request.media = self._check_head(received)
            data = await self._serve(request)
        except BodyRefused as refused:
            log.info("request refused", extra={"status": refused.status, "reason": str(refused)})
            self._note(request, f"HTTP {refused.status}")
            return Response(status_code=refused.status, headers={"connection": "close"})
        except Throttled as throttled:
            if not self._logged.take(request.address):
                log.warning("request throttled", extra={"status": 429, "reason": str(throttled)})
            self._note(request, "HTTP 429")
            return Response(status_code=429, headers={"retry-after": str(math.ceil(throttled.seconds))})
        except ClientDisconnected:
            log.info("client disconnected within its request")
            return Response(status_code=400)  # not received by the client
        except Exception as error:  # noqa: BLE001  (logged by `_fault`, with its traceback if it is an internal error)
            return await self._fault(error, request)
        self._note(request, NO_FAULT)
        if data is None:
            return Response(status_code=202)
        return Response(data, media_type=MEDIA_TYPE)

    async def _fault(self, error: Exception, request: HttpRequest) -> Response:
        """Return the fault for *error*, related to the request, after the rest of the body is read.

        Some clients read the response only after they have sent all of their request.
        """
        fault = self._translate(faults.from_error(error))
        name = fault.subcode or fault.code
        self._note(request, name)
        if fault.subcode in INTERNAL:
            log.error("internal error", extra={"fault": name, "reason": str(fault)}, exc_info=error)
        else:
            log.info("request answered with a fault", extra={"fault": name, "reason": str(fault)})
        drained = await request.body.drain(DRAIN)
        return Response(
            faults.write(fault, request.message_id),
            status_code=fault.status(self._settings.server.always_500),
            media_type=SOAP11_MEDIA_TYPE if fault.soap11 else MEDIA_TYPE,
            headers={} if drained else {"connection": "close"},
        )

    def _note(self, request: HttpRequest, fault: str) -> None:
        """Count a request that is answered, and note its operation and fault in its span."""
        self._counts.count(self._service, request.action, fault)
        request.note(operation=request.action[:255], fault=fault)

    def _check_head(self, request: Request) -> mtom.Media:
        """Return the media type of the body; raise `BodyRefused` for a type, encoding or length that is not served."""
        headers = request.headers
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise BodyRefused(415, f"content-encoding {headers['content-encoding']!r}; expected none")
        media = mtom.media(headers.get("content-type", ""))
        if media.kind == "other":
            raise BodyRefused(415, f"content-type {headers.get('content-type', '')!r}; expected SOAP 1.2, or MTOM")
        limit = self._settings.limits.envelope_bytes
        if media.kind == "mtom":
            limit = min(limit, self._settings.limits.root_bytes) + self._settings.limits.image_bytes + FRAMING
        if int(headers.get("content-length", "0")) > limit:
            raise BodyRefused(413, f"content-length {headers['content-length']}; expected at most {limit}")
        return media


def _service_routes(path: str, endpoint: SoapEndpoint) -> list[Route]:
    """Return the routes of a service: its own path, and the paths at which its subscriptions are managed."""
    return [Route(one, endpoint, methods=["POST"]) for one in (path, path + BELOW + "{id}")]


def _wsdl_routes(settings: Settings, public_url: PublicUrl) -> list[Route]:
    """Return the routes of both WSDL documents, and of the schemas at the same relative paths as their files."""
    files: dict[str, bytes] = {}
    routes = []
    for port, path in (
        (EventService.PROCESSING, settings.server.path),
        (EventService.CONFIGURATION, settings.server.configuration_path),
    ):
        routes.append(Route(path, _wsdl(port, public_url), methods=["GET"]))
        files |= {posixpath.join(posixpath.dirname(path), name): xsd for name, xsd in wsdl_files.schemas(port).items()}
    return routes + [_file(path, xsd) for path, xsd in files.items()]


def _wsdl(port: EventService, public_url: PublicUrl) -> Callable[[Request], Awaitable[Response]]:
    async def get(request: Request) -> Response:
        if request.scope["query_string"].lower() != b"wsdl":
            raise HTTPException(405, headers={"allow": "POST"})  # only ?wsdl can be read
        document = metadata_messages.wsdl(wsdl_files.wsdl(port), public_url.site(request.scope).at(port))
        return Response(document, media_type=FILE_MEDIA_TYPE)

    return get


def _file(path: str, data: bytes) -> Route:
    async def get(_request: Request) -> Response:
        return Response(data, media_type=FILE_MEDIA_TYPE)

    return Route(path, get, methods=["GET"])


def _not_served(_request: Request, error: Exception) -> Response:
    """Return the status for an unknown path, or for a method that a path does not have."""
    assert isinstance(error, HTTPException)
    return Response(status_code=error.status_code, headers={**(error.headers or {}), "connection": "close"})
