"""Finding a server: Probe and Resolve, by UDP to one host or to everybody, or by HTTP to one host.

A question goes out twice as the same message; an answer counts if it relates to the question, and once.
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

from postscan.cli.device import transport
from postscan.cli.device.transport import DSP, WSA, BadAnswer, DeviceError, SoapMessage, Transport, Unreachable

WSD: Final = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
WSDP: Final = "http://schemas.xmlsoap.org/ws/2006/02/devprof"

DEVICE: Final = "wsdp:Device"
"""What a host is asked for: nobody has published the type of a scan server, and this one every device has."""

SCAN_SERVER: Final = "wsdp:Device dsp:RepositoryDeviceType"
"""What everybody is asked for, so that not every printer answers (dpws.md section 6.4)."""

DIRECTED_PORT: Final = 5362
PORT: Final = 3702
GROUPS: Final = {socket.AF_INET: "239.255.255.250", socket.AF_INET6: "ff02::c"}
DIRECTED_PATH: Final = "/StableWSDiscoveryEndpoint/schemas-xmlsoap-org_ws_2005_04_discovery"

WAIT: Final = 4.0
"""Seconds for answers by UDP: longer they do not pass the firewall of Windows."""

_LARGEST: Final = 65536
_MOST: Final = 256  # answers to one question, from whomever
_REPEAT_SECONDS: Final = (0.05, 0.25)
_NAMES: Final = {"wsd": WSD, "wsdp": WSDP, "dsp": DSP}
_TO_ALL: Final = "urn:schemas-xmlsoap-org:ws:2005:04:discovery"
_CHANCE: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Match:
    """What was found: an endpoint, its types (Clark names), where it can be reached, and how it was found."""

    endpoint: str
    types: tuple[str, ...]
    scopes: tuple[str, ...]
    addresses: tuple[str, ...]
    version: str
    via: str

    @property
    def is_scan_server(self) -> bool:
        """Whether one of its types is of WS-DSP."""
        return any(name.startswith(f"{{{DSP}}}") for name in self.types)


@dataclass(frozen=True, slots=True)
class Way:
    """A UDP socket, and where questions go from it; `name` for people."""

    udp: socket.socket
    to: tuple[Any, ...]
    name: str


def probe(types: str = DEVICE) -> SoapMessage:
    """Return a Probe for everything that has these types, in the prefixes wsdp and dsp."""
    return _question("Probe", f"<wsd:Types>{types}</wsd:Types>")


def resolve(endpoint: str) -> SoapMessage:
    """Return a Resolve of one endpoint."""
    address = f"<wsa:Address>{escape(endpoint)}</wsa:Address>"
    return _question("Resolve", f"<wsa:EndpointReference>{address}</wsa:EndpointReference>")


def matches(data: bytes, question: SoapMessage, via: str = "") -> tuple[Match, ...]:
    """Return what an answer tells; raise `DeviceError` if it is no answer to this question (DPW-012)."""
    root = transport.parsed(data)
    related = transport.header(root, "RelatesTo")
    if related != question.id:
        raise BadAnswer(f"relates to {related or 'nothing'}; expected {question.id}")
    body = transport.body_of(transport.HttpReply(via, 200, data), question.id)
    found = body.iterfind("wsd:ProbeMatches/wsd:ProbeMatch", _NAMES)
    resolved = body.iterfind("wsd:ResolveMatches/wsd:ResolveMatch", _NAMES)
    return tuple(_match(one, via) for one in (*found, *resolved))


def on_host(host: str, port: int = DIRECTED_PORT, wait: float = WAIT) -> tuple[Match, ...]:
    """Ask one host by UDP, at its own port and at that of the standard; return what the first answer tells."""
    for number in dict.fromkeys((port, PORT)):
        with _to_host(host, number) as ways:
            found = _found(ways, probe(), wait, enough=1)
        if found:
            return found
    return ()


def on_group(wait: float = WAIT) -> tuple[Match, ...]:
    """Ask everybody on all networks of this machine; return all that answer in time, each endpoint once."""
    with _to_group() as ways:
        return _found(ways, probe(SCAN_SERVER), wait, enough=_MOST)


def by_http(courier: Transport, origin: str) -> tuple[Match, ...]:
    """Ask by a POST to *origin*, as `http://host:port`; return what it tells, which may be nothing (202)."""
    url, question = origin + DIRECTED_PATH, probe()
    answer = courier(transport.request_for(url, question))
    if answer.status == 202:
        return ()
    transport.body_of(answer, question.id)
    return matches(answer.data, question, url)


def at_host(courier: Transport, host: str, port: int, schemes: Iterable[str], wait: float = WAIT) -> tuple[Match, ...]:
    """Find the device on one host in every way there is, UDP first; raise `Unreachable` if nobody answers."""
    found = on_host(host, port, wait)
    if found:
        return found
    tried = [f"UDP ports {port} and {PORT}: no answer"]
    for scheme in schemes:
        origin = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        try:
            found = by_http(courier, origin)
        except DeviceError as error:
            tried.append(str(error))
        else:
            if found:
                return found
            tried.append(f"{origin}: there is no such device")
    raise Unreachable(f"{host}: no device found; " + "; ".join(tried))


def _question(kind: str, content: str) -> SoapMessage:
    return transport.envelope(_TO_ALL, f"{WSD}/{kind}", f"<wsd:{kind}>{content}</wsd:{kind}>", names=_NAMES)


def _match(element: etree._Element, via: str) -> Match:
    def text(path: str) -> str:
        return element.findtext(path, "", {"wsa": WSA, **_NAMES}).strip()

    endpoint = text("wsa:EndpointReference/wsa:Address")
    if not endpoint:
        raise BadAnswer("a match has no EndpointReference")
    types = element.find("wsd:Types", _NAMES)
    return Match(
        endpoint=endpoint,
        types=() if types is None else transport.qnames(types),
        scopes=tuple(text("wsd:Scopes").split()),
        addresses=tuple(text("wsd:XAddrs").split()),
        version=text("wsd:MetadataVersion"),
        via=via,
    )


# --- by UDP ------------------------------------------------------------------------------------------------------


def _found(ways: list[Way], question: SoapMessage, wait: float, enough: int) -> tuple[Match, ...]:
    """Return what answers tell until *enough* have come, each endpoint once, with an address if there is any."""
    found: dict[str, Match] = {}
    origins: dict[str, Way] = {}
    for match, back in _answers(ways, question, wait):
        if match.endpoint not in found:
            found[match.endpoint], origins[match.endpoint] = match, back
        if len(found) >= enough:
            break
    return tuple(one if one.addresses else _resolved(one, origins[one.endpoint], wait) for one in found.values())


def _resolved(match: Match, back: Way, wait: float) -> Match:
    """Return the match with the addresses that its host tells who asks for them; without, if it keeps silent."""
    for answer, _way in _answers([back], resolve(match.endpoint), wait):
        if answer.endpoint == match.endpoint and answer.addresses:
            return replace(match, addresses=answer.addresses)
    return match


def _answers(ways: list[Way], question: SoapMessage, wait: float) -> Iterator[tuple[Match, Way]]:
    """Send a question on all ways, twice, and yield what comes back, with the way to who answered."""
    now = time.monotonic()
    end = now + wait
    again: float | None = now + _CHANCE.uniform(*_REPEAT_SECONDS)
    seen: set[str] = set()
    waiting = {way.udp: way for way in ways if _send(way, question)}
    while waiting and len(seen) < _MOST and (left := end - time.monotonic()) > 0:
        pause = left if again is None else min(left, max(0.0, again - time.monotonic()))
        for udp in select.select(list(waiting), [], [], pause)[0]:
            way = waiting[udp]
            try:
                data, source = udp.recvfrom(_LARGEST)
            except OSError:
                del waiting[udp]  # the host says that nobody listens there
                continue
            for match in _new(data, question, f"{way.name}, from {source[0]}", seen):
                yield match, Way(udp, source, way.name)
        if again is not None and time.monotonic() >= again:
            again = None
            for way in list(waiting.values()):
                _send(way, question)


def _new(data: bytes, question: SoapMessage, via: str, seen: set[str]) -> Iterable[Match]:
    """Return what an answer tells; nothing if it came before, or is no answer to the question."""
    try:
        found = matches(data, question, via)
    except DeviceError:
        return ()
    name = transport.header(transport.parsed(data), "MessageID")
    if name in seen:
        return ()
    seen.add(name)
    return found


def _send(way: Way, question: SoapMessage) -> bool:
    try:
        way.udp.sendto(question.data, way.to)
    except OSError:
        return False  # no route on this interface, or nobody there
    return True


@contextlib.contextmanager
def _to_host(host: str, port: int) -> Iterator[list[Way]]:
    """Open the ways to a port of one host; raise `Unreachable` if nobody knows it."""
    try:
        known = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise Unreachable(f"{host}: {error.strerror}") from error
    with contextlib.ExitStack() as stack:
        ways = []
        for family, kind, protocol, _name, address in known:
            with contextlib.suppress(OSError):  # one of several addresses may have no route
                udp = stack.enter_context(socket.socket(family, kind, protocol))
                udp.connect(address)  # nobody else is heard, and a closed port is an error
                ways.append(Way(udp, address, f"UDP port {port}"))
        yield ways


@contextlib.contextmanager
def _to_group() -> Iterator[list[Way]]:
    """Open a way to the group on each interface of this machine that has one."""
    with contextlib.ExitStack() as stack:
        ways = []
        for index, name in socket.if_nameindex():
            for family, group in GROUPS.items():
                with contextlib.suppress(OSError):
                    udp = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                    ways.append(Way(udp, _aimed(udp, family, index, group), f"{group} on {name}"))
        yield ways


def _aimed(udp: socket.socket, family: socket.AddressFamily, index: int, group: str) -> tuple[Any, ...]:
    """Let a socket speak to the group on one interface; return the address of the group."""
    if family == socket.AF_INET:
        chosen = struct.pack("=4s4si", bytes(4), bytes(4), index)
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, chosen)
        return (group, PORT)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    return (group, PORT, 0, index)
