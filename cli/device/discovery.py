"""WS-Discovery client: Probe and Resolve, by UDP to one host or to the multicast group, or by HTTP to one host.

A request by UDP is sent twice as the same message; a response counts once, and only if it relates to the request.
Source: dpws.md sections 1, 3, 6 and 11.1 to 11.3.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final
from xml.sax.saxutils import escape

from lxml import etree

from postscan.cli.device.transport import (
    DSP,
    WSA,
    BadAnswer,
    DeviceError,
    HttpReply,
    SoapMessage,
    Transport,
    Unreachable,
    body_of,
    envelope,
    header,
    parse,
    qnames,
    request_for,
)

WSD: Final = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
WSDP: Final = "http://schemas.xmlsoap.org/ws/2006/02/devprof"

DEVICE: Final = "wsdp:Device"
"""The types in a Probe to one host: every device has this one, and no public document defines a scan server's."""

SCAN_SERVER: Final = "wsdp:Device dsp:RepositoryDeviceType"
"""The types in a Probe to the group, which printers do not match (dpws.md section 6.4)."""

DIRECTED_PORT: Final = 5362
PORT: Final = 3702
GROUPS: Final = {socket.AF_INET: "239.255.255.250", socket.AF_INET6: "ff02::c"}
DIRECTED_PATH: Final = "/StableWSDiscoveryEndpoint/schemas-xmlsoap-org_ws_2005_04_discovery"

WAIT: Final = 4.0
"""Seconds to wait for responses by UDP: the firewall of Windows drops later ones."""

_MAX_BYTES: Final = 65536
_MAX_RESPONSES: Final = 256  # to one request
_REPEAT_SECONDS: Final = (0.05, 0.25)
_NAMES: Final = {"wsd": WSD, "wsdp": WSDP, "dsp": DSP}
_URN: Final = "urn:schemas-xmlsoap-org:ws:2005:04:discovery"
_RANDOM: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Match:
    """A ProbeMatch or ResolveMatch: endpoint, types (Clark names), scopes, addresses; `via` is how it was found."""

    endpoint: str
    types: tuple[str, ...]
    scopes: tuple[str, ...]
    addresses: tuple[str, ...]
    version: str
    via: str

    @property
    def is_scan_server(self) -> bool:
        """True if one of its types is of WS-DSP."""
        return any(name.startswith(f"{{{DSP}}}") for name in self.types)


@dataclass(frozen=True, slots=True)
class Route:
    """A UDP socket and the destination of requests from it; `name` is for output."""

    udp: socket.socket
    to: tuple[Any, ...]
    name: str


def probe(types: str = DEVICE) -> SoapMessage:
    """Return a Probe for these types, which use the prefixes wsdp and dsp."""
    return _request("Probe", f"<wsd:Types>{types}</wsd:Types>")


def resolve(endpoint: str) -> SoapMessage:
    """Return a Resolve for one endpoint."""
    address = f"<wsa:Address>{escape(endpoint)}</wsa:Address>"
    return _request("Resolve", f"<wsa:EndpointReference>{address}</wsa:EndpointReference>")


def matches(data: bytes, request: SoapMessage, via: str = "") -> tuple[Match, ...]:
    """Return the matches in a response; raise `DeviceError` if it is not a response to *request* (DPW-012)."""
    root = parse(data)
    related = header(root, "RelatesTo")
    if related != request.id:
        raise BadAnswer(f"relates to {related or 'nothing'}; expected {request.id}")
    body = body_of(HttpReply(via, 200, data), request.id)
    probed = body.iterfind("wsd:ProbeMatches/wsd:ProbeMatch", _NAMES)
    resolved = body.iterfind("wsd:ResolveMatches/wsd:ResolveMatch", _NAMES)
    return tuple(_match(one, via) for one in (*probed, *resolved))


def on_host(host: str, port: int = DIRECTED_PORT, wait: float = WAIT) -> tuple[Match, ...]:
    """Probe one host by UDP, at *port* and at the standard port; return the matches of the first response."""
    for number in dict.fromkeys((port, PORT)):
        with _host_routes(host, number) as routes:
            found = _probe_routes(routes, probe(), wait, limit=1)
        if found:
            return found
    return ()


def on_group(wait: float = WAIT) -> tuple[Match, ...]:
    """Probe the multicast group on all interfaces; return all matches within *wait* seconds, each endpoint once."""
    with _group_routes() as routes:
        return _probe_routes(routes, probe(SCAN_SERVER), wait, limit=_MAX_RESPONSES)


def by_http(transport: Transport, origin: str) -> tuple[Match, ...]:
    """Probe by a POST to *origin* (`http://host:port`); return the matches, none for a 202."""
    url, message = origin + DIRECTED_PATH, probe()
    reply = transport(request_for(url, message))
    if reply.status == 202:
        return ()
    body_of(reply, message.id)
    return matches(reply.data, message, url)


def at_host(
    transport: Transport, host: str, port: int, schemes: Iterable[str], wait: float = WAIT
) -> tuple[Match, ...]:
    """Find the device on one host by UDP, then by HTTP; raise `Unreachable` without a match."""
    found = on_host(host, port, wait)
    if found:
        return found
    tried = [f"UDP ports {port} and {PORT}: no response"]
    for scheme in schemes:
        origin = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        try:
            found = by_http(transport, origin)
        except DeviceError as error:
            tried.append(str(error))
        else:
            if found:
                return found
            tried.append(f"{origin}: no match")
    raise Unreachable(f"{host}: no device found; " + "; ".join(tried))


def _request(kind: str, content: str) -> SoapMessage:
    return envelope(_URN, f"{WSD}/{kind}", f"<wsd:{kind}>{content}</wsd:{kind}>", names=_NAMES)


def _match(element: etree._Element, via: str) -> Match:
    def text(path: str) -> str:
        return element.findtext(path, "", {"wsa": WSA, **_NAMES}).strip()

    endpoint = text("wsa:EndpointReference/wsa:Address")
    if not endpoint:
        raise BadAnswer("a match has no EndpointReference")
    types = element.find("wsd:Types", _NAMES)
    return Match(
        endpoint=endpoint,
        types=() if types is None else qnames(types),
        scopes=tuple(text("wsd:Scopes").split()),
        addresses=tuple(text("wsd:XAddrs").split()),
        version=text("wsd:MetadataVersion"),
        via=via,
    )


# --- by UDP ------------------------------------------------------------------------------------------------------


def _probe_routes(routes: list[Route], request: SoapMessage, wait: float, limit: int) -> tuple[Match, ...]:
    """Return up to *limit* matches, each endpoint once; resolve those without an address."""
    found: dict[str, Match] = {}
    origins: dict[str, Route] = {}
    for match, back in _responses(routes, request, wait):
        if match.endpoint not in found:
            found[match.endpoint], origins[match.endpoint] = match, back
        if len(found) >= limit:
            break
    return tuple(one if one.addresses else _resolved(one, origins[one.endpoint], wait) for one in found.values())


def _resolved(match: Match, back: Route, wait: float) -> Match:
    """Return the match with the addresses of its host's ResolveMatch, or unchanged without a response."""
    for resolved, _route in _responses([back], resolve(match.endpoint), wait):
        if resolved.endpoint == match.endpoint and resolved.addresses:
            return replace(match, addresses=resolved.addresses)
    return match


def _responses(routes: list[Route], request: SoapMessage, wait: float) -> Iterator[tuple[Match, Route]]:
    """Send a request twice on all routes; yield each match with the route back to its sender."""
    now = time.monotonic()
    end = now + wait
    repeat_at: float | None = now + _RANDOM.uniform(*_REPEAT_SECONDS)
    seen: set[str] = set()
    waiting = {route.udp: route for route in routes if _send(route, request)}
    while waiting and len(seen) < _MAX_RESPONSES and (left := end - time.monotonic()) > 0:
        pause = left if repeat_at is None else min(left, max(0.0, repeat_at - time.monotonic()))
        for udp in select.select(list(waiting), [], [], pause)[0]:
            route = waiting[udp]
            try:
                data, source = udp.recvfrom(_MAX_BYTES)
            except OSError:
                del waiting[udp]  # ICMP: the port is closed
                continue
            for match in _unseen(data, request, f"{route.name}, from {source[0]}", seen):
                yield match, Route(udp, source, route.name)
        if repeat_at is not None and time.monotonic() >= repeat_at:
            repeat_at = None
            for route in list(waiting.values()):
                _send(route, request)


def _unseen(data: bytes, request: SoapMessage, via: str, seen: set[str]) -> Iterable[Match]:
    """Return the matches of a response; none for a duplicate or an unrelated message."""
    try:
        found = matches(data, request, via)
    except DeviceError:
        return ()
    message_id = header(parse(data), "MessageID")
    if message_id in seen:
        return ()
    seen.add(message_id)
    return found


def _send(route: Route, request: SoapMessage) -> bool:
    try:
        route.udp.sendto(request.data, route.to)
    except OSError:
        return False  # no route on this interface, or a closed port
    return True


@contextlib.contextmanager
def _host_routes(host: str, port: int) -> Iterator[list[Route]]:
    """Open a socket for each address of a host; raise `Unreachable` if its name cannot be resolved."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise Unreachable(f"{host}: {error.strerror}") from error
    with contextlib.ExitStack() as stack:
        routes = []
        for family, kind, protocol, _name, address in addresses:
            with contextlib.suppress(OSError):  # one of several addresses may have no route
                udp = stack.enter_context(socket.socket(family, kind, protocol))
                udp.connect(address)  # accept datagrams from there only, and report a closed port as an error
                routes.append(Route(udp, address, f"UDP port {port}"))
        yield routes


@contextlib.contextmanager
def _group_routes() -> Iterator[list[Route]]:
    """Open a socket for the group of each address family on each interface."""
    with contextlib.ExitStack() as stack:
        routes = []
        for index, name in socket.if_nameindex():
            for family, group in GROUPS.items():
                with contextlib.suppress(OSError):
                    udp = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                    routes.append(Route(udp, _group_address(udp, family, index, group), f"{group} on {name}"))
        yield routes


def _group_address(udp: socket.socket, family: socket.AddressFamily, index: int, group: str) -> tuple[Any, ...]:
    """Set the socket's multicast interface; return the address of the group."""
    if family == socket.AF_INET:
        request = struct.pack("=4s4si", bytes(4), bytes(4), index)
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        return (group, PORT)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    return (group, PORT, 0, index)
