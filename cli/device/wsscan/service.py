"""The scanner behind its HTTP server: which path and action leads where, and what goes wrong on the way.

Source: ws-scan.md sections 2 to 6; dpws.md sections 5 and 7.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

from lxml import etree

from postscan.cli.device.wsscan import operations, transfer
from postscan.cli.device.wsscan.behaviour.misbehaviours import MOMENTS
from postscan.cli.device.wsscan.description.metadata import DEVICE_TYPES, match, metadata, reference
from postscan.cli.device.wsscan.eventing.notifier import SECONDS
from postscan.cli.device.wsscan.eventing.subscription_messages import expires_response, subscribe_response
from postscan.cli.device.wsscan.eventing.subscriptions import SubscriptionTable, WsdSubscription
from postscan.cli.device.wsscan.operations import SOURCES, ScanServiceParts
from postscan.cli.device.wsscan.protocol import soap
from postscan.cli.device.wsscan.protocol.discovery import local_address
from postscan.cli.device.wsscan.protocol.http_server import ConnectionDropped, WsdHttpRequest, WsdHttpResponse
from postscan.cli.device.wsscan.protocol.soap import GET, WSCN, WSD, WSE, NotSoap, WsdFault, WsdRequest, clark

DEVICE_PATH: Final = "/wsd"
SERVICE_PATH: Final = "/wsd/scan"
MANAGER_PATH: Final = "/wsd/subscriptions"
PROBE_PATH: Final = "/StableWSDiscoveryEndpoint/schemas-xmlsoap-org_ws_2005_04_discovery"

FOREIGN_ADDRESS: Final = "http://198.51.100.77:8018/wsd"
"""An address of another interface, which clients cannot reach (RFC 5737)."""

_HTML: Final = b"<!DOCTYPE html><html><head><title>Login</title></head><body>Please log in.</body></html>"
_DTD: Final = (
    b'<?xml version="1.0"?><!DOCTYPE e [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Header/><e:Body>&c;</e:Body></e:Envelope>'
)
_HEAD: Final = b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Header/><e:Body>'
_DEPTH: Final = 100_000


@dataclass(frozen=True)
class DeviceEndpoints:
    """The endpoint of the device (`urn:uuid:`), and the addresses of device, scan service and manager."""

    uuid: str
    device: str
    service: str
    manager: str


class PoweredDevice(Protocol):
    """What the service needs of the scanner around it."""

    instance: int

    def endpoints(self, local: str = "") -> DeviceEndpoints:
        """Return what the scanner tells a client that reaches it at the address *local*."""

    def record(self, method: str, what: str, data: bytes) -> None:
        """Add a request to the log."""

    def power_off(self) -> None:
        """Cut the power."""

    def reboot(self) -> None:
        """Switch off and on."""


class ScannerService:
    """Handles the requests of a scanner. While `deaf` it answers no Get; until `awake_at` nothing at all."""

    def __init__(self, parts: ScanServiceParts, subscriptions: SubscriptionTable, device: PoweredDevice) -> None:
        self._parts, self._subscriptions, self._device = parts, subscriptions, device
        self.deaf = False
        self.awake_at = 0.0
        self._switching = threading.Lock()

    def handle(self, http: WsdHttpRequest) -> WsdHttpResponse:
        """Return the response to a request; raise `ConnectionDropped` for none."""
        try:
            request = soap.read(http.data)
        except NotSoap:
            self._device.record(http.method, http.path, http.data)
            return WsdHttpResponse(400)
        self._device.record(http.method, request.action or http.path, http.data)
        http.wait(max(0.0, self.awake_at - time.monotonic()))
        name = request.name
        if self.cut_power_at(name, "before"):
            raise ConnectionDropped
        if self._parts.misbehaviours.concerns("never-answer", name) or (self.deaf and request.action == GET):
            http.wait()
        response = self._wrong_response(name) or self._response(request, http)
        return replace(response, afterwards=lambda: self.cut_power_at(name, "after"))

    def cut_power_at(self, message: str, moment: str) -> bool:
        """Switch off, or off and on, if that is to happen at this message; return whether it did."""
        bad = self._parts.misbehaviours
        switches: dict[str, Callable[[], None]] = {
            "vanish": self._device.power_off,
            "forget-subscriptions": self._device.reboot,
        }
        for name, switch in switches.items():
            if moment in MOMENTS and bad.strikes(name, message, moment):
                with self._switching:
                    switch()
                return True
        return False

    # --- the response ---------------------------------------------------------------------------------------------

    def _response(self, request: WsdRequest, http: WsdHttpRequest) -> WsdHttpResponse:
        try:
            _check_headers(request)
            if request.action == f"{WSCN}/RetrieveImage" and http.path == SERVICE_PATH:
                return transfer.retrieve_image(self._parts, request, http)
            content = self._content(request, http)
        except WsdFault as fault:
            good = self._parts.traits.faults_with_200 or self._parts.misbehaviours.has("fault-200")
            status = 200 if good else 400 if fault.sender else 500
            return WsdHttpResponse(status, self._parts.writer.fault(fault, request.message_id))
        if content is None:
            return WsdHttpResponse(202)
        action, elements = content
        return WsdHttpResponse(200, self._parts.writer.envelope(action, elements, relates_to=request.message_id))

    def _content(self, request: WsdRequest, http: WsdHttpRequest) -> tuple[str, list[etree._Element]] | None:
        """Return action and body of the response; None for an empty 202."""
        path, action, me = http.path, request.action, self._device.endpoints(http.local)
        if action == f"{WSD}/Probe" and path in (PROBE_PATH, DEVICE_PATH, "/"):
            return self._probe(request, me)
        if action == GET and path == DEVICE_PATH and request.to in (me.uuid, me.device):
            return f"{action}Response", [self._metadata(me)]
        if action == f"{WSE}/Subscribe" and path == SERVICE_PATH:
            return f"{action}Response", [self._subscribe(request, http.peer, me)]
        if action.startswith(f"{WSE}/") and path == MANAGER_PATH:
            return f"{action}Response", self._manage(request)
        if action == f"{WSCN}/{request.name}" and request.name in operations.OPERATIONS and path == SERVICE_PATH:
            return f"{action}Response", [operations.perform(self._parts, request)]
        if path in (DEVICE_PATH, SERVICE_PATH, MANAGER_PATH) and not self._is_known(action):
            raise WsdFault("wsa:ActionNotSupported", f"The action {action[:200]!r} is not supported.")
        raise WsdFault("wsa:DestinationUnreachable", "No such role at this address.")

    def _is_known(self, action: str) -> bool:
        ours = {f"{WSCN}/{name}" for name in (*operations.OPERATIONS, "RetrieveImage")}
        return action in ours | {GET} | {f"{WSE}/{name}" for name in ("Subscribe", "Renew", "GetStatus", "Unsubscribe")}

    def discover(self, request: WsdRequest, peer: str) -> tuple[str, etree._Element] | None:
        """Return action and body of the response to a Probe or Resolve by UDP from *peer*; None for none."""
        w, me = self._parts.writer, self._device.endpoints(local_address(peer))
        if time.monotonic() < self.awake_at:
            return None
        if request.action == f"{WSD}/Probe" and not self._parts.traits.silent_to_probes and probe_matches(request):
            return f"{WSD}/ProbeMatches", w.element("wsd:ProbeMatches", self.match("wsd:ProbeMatch", me))
        wanted = soap.text(request.body, "wsa:EndpointReference/wsa:Address")
        if request.action == f"{WSD}/Resolve" and wanted.lower() == me.uuid.lower():
            return f"{WSD}/ResolveMatches", w.element("wsd:ResolveMatches", self.match("wsd:ResolveMatch", me))
        return None

    def match(self, name: str, me: DeviceEndpoints) -> etree._Element:
        """Return the match of a Probe, or the body of Hello, as element *name*."""
        addresses = [FOREIGN_ADDRESS, me.device] if self._parts.traits.foreign_address else [me.device]
        return match(self._parts.writer, name, me.uuid, addresses, self._device.instance)

    def bye(self) -> etree._Element:
        """Return the body of Bye."""
        w = self._parts.writer
        return w.element("wsd:Bye", reference(w, self._device.endpoints().uuid))

    def _probe(self, request: WsdRequest, me: DeviceEndpoints) -> tuple[str, list[etree._Element]] | None:
        if not probe_matches(request):
            return None
        matches = self._parts.writer.element("wsd:ProbeMatches", self.match("wsd:ProbeMatch", me))
        return f"{WSD}/ProbeMatches", [matches]

    def _metadata(self, me: DeviceEndpoints) -> etree._Element:
        service = self._parts.misbehaviours.value("foreign-service") or me.service
        return metadata(
            self._parts.writer, uuid=me.uuid, name=self._parts.name, model=self._parts.model, service=service
        )

    def _subscribe(self, request: WsdRequest, peer: str, me: DeviceEndpoints) -> etree._Element:
        if request.body is None or request.body.tag != clark("wse:Subscribe"):
            raise WsdFault("wse:InvalidMessage", "The body has no Subscribe.")
        subscription = self._subscriptions.subscribe(
            request.body,
            peer,
            without_token=self._parts.misbehaviours.value("no-token-for-destination"),
            replace_tokens=self._parts.traits.replaces_tokens,
        )
        if subscription.destinations and self._parts.misbehaviours.use("early-event"):
            self._press_early(subscription)
        return subscribe_response(self._parts.writer, subscription, me.manager)

    def _press_early(self, subscription: WsdSubscription) -> None:
        """Press the first destination, and wait until the event is delivered."""
        press = self._parts.panel.press(subscription.destinations[0].label, SOURCES[self._parts.paper.source])
        press.told.wait(SECONDS)

    def _manage(self, request: WsdRequest) -> list[etree._Element]:
        """Renew, report or end a subscription."""
        w, name = self._parts.writer, request.name
        if name not in ("Renew", "GetStatus", "Unsubscribe"):
            raise WsdFault("wsa:ActionNotSupported", f"{name[:100]} is not supported here.")
        subscription = self._subscriptions.find(request.header_text("wse:Identifier"))
        if subscription is None or (name == "Renew" and self._parts.misbehaviours.has("no-renew")):
            if name == "Renew":
                raise WsdFault("wse:UnableToRenew", "There is no such subscription.", sender=False)
            raise WsdFault("wse:InvalidMessage", "There is no such subscription.")
        if name == "Renew":
            return [expires_response(w, name, self._renew(subscription, request))]
        if name == "GetStatus":
            return [expires_response(w, name, subscription.expires - time.monotonic())]
        self._subscriptions.remove(subscription)
        return []

    def _renew(self, subscription: WsdSubscription, request: WsdRequest) -> float:
        asked = "" if request.body is None else soap.text(request.body, "wse:Expires")
        return self._subscriptions.renew(subscription, asked)

    # --- wrong responses ------------------------------------------------------------------------------------------

    def _wrong_response(self, name: str) -> WsdHttpResponse | None:
        bad = self._parts.misbehaviours
        if bad.concerns("html", name):
            return WsdHttpResponse(200, _HTML, "text/html; charset=utf-8")
        if bad.concerns("dtd", name):
            return WsdHttpResponse(200, _DTD)
        if bad.concerns("deep", name):
            return WsdHttpResponse(200, _HEAD + b"<a>" * _DEPTH + b"</a>" * _DEPTH + b"</e:Body></e:Envelope>")
        if bad.concerns("endless", name):
            return WsdHttpResponse(200, _endless())
        return None


def probe_matches(request: WsdRequest) -> bool:
    """Return whether every type that a Probe asks for is one of the scanner's; scopes it has none."""
    if request.body is None or request.body.tag != clark("wsd:Probe"):
        return False
    types = soap.child(request.body, "wsd:Types")
    wanted: list[str] = []
    if types is not None:
        for name in (types.text or "").split():
            prefix, colon, local = name.rpartition(":")
            wanted.append(f"{{{types.nsmap.get(prefix if colon else None)}}}{local}")
    return not soap.text(request.body, "wsd:Scopes") and all(one in map(clark, DEVICE_TYPES) for one in wanted)


def _check_headers(request: WsdRequest) -> None:
    if not request.action or not request.message_id:
        raise WsdFault("wsa:MessageInformationHeaderRequired", "Action or MessageID is missing.")


def _endless() -> Iterator[bytes]:
    yield _HEAD
    while True:
        yield b"<a>" + b"x" * 65000 + b"</a>"
