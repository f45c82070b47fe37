"""The check of sink addresses: a subscriber's own host, and the networks in the settings, are allowed.

A host name is resolved once, at Subscribe, and messages are sent to the address found then, whatever the name resolves
to later. Every refusal is the same fault, whose only detail is the refused address.
Source: dpws.md section 8.1 (R3017, R3018); T-A2; D17.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import urlsplit

from postscan.core.model.subscription import Sink
from postscan.soap.message import faults
from postscan.soap.message.addressing import LONGEST_URI
from postscan.soap.message.endpoint_reference import Reference
from postscan.soap.xml import namespaces

LOOKUPS: Final = 8
"""Upper bound of the names that are resolved at a time, so that a dead name server blocks few threads."""

PORTS: Final = {"http": 80, "https": 443}

_NO_ROUTE: Final = "No route can be determined to reach the destination role defined by the WS-Addressing To."
_URL: Final = re.compile(r"[!-~]+")
_UNSAFE: Final = frozenset('\\"<>^`{|}')
_ZONE: Final = re.compile(r"%[^\]]*")
_HOST: Final = re.compile(r"[A-Za-z0-9_.:%-]+")

Address = IPv4Address | IPv6Address


class SinkRefused(ValueError):
    """The address is not allowed as a sink; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class SinkAddress:
    """The parts of an HTTP URL. `netloc` is host and port as they were written, without a zone."""

    scheme: str
    netloc: str
    host: str
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Peers:
    """The two ends of the subscriber's connection: its address, and our address and port."""

    address: str
    here: tuple[str, int]


def lookup(host: str) -> list[str]:
    """Return the addresses of a host name from the machine's resolver; [] for an unknown one."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []


class Sinks:
    """Checks the sinks of one server. *resolve* returns the addresses of a host name; it may block."""

    def __init__(self, networks: Iterable[str], resolve: Callable[[str], Iterable[str]] = lookup) -> None:
        self._networks = tuple(ipaddress.ip_network(one) for one in networks)
        self._resolve = resolve
        self._lookups = threading.BoundedSemaphore(LOOKUPS)

    def admit(self, wanted: Reference, peers: Peers) -> Sink:
        """Return the sink for this reference; raise `Fault` if the subscriber must not have messages sent there."""
        try:
            url = parse_url(wanted.address)
            return Sink(wanted.address, self._pinned(url, peers), wanted.parameters)
        except SinkRefused as refused:
            shown = wanted.address[: faults.LONGEST_VALUE]
            sentence = f"{shown!r} is not a sink for events of {peers.address}: {refused}"
            raise _unreachable(wanted.address, sentence) from None

    def _pinned(self, url: SinkAddress, peers: Peers) -> str:
        """Return the one address of all later connections; raise `SinkRefused`."""
        peer, literal = _literal(peers.address), _literal(url.host)
        for found in [literal] if literal else self._resolved(url.host):
            if found is not None and (found == peer or self._is_allowed(found)):
                _check_not_us(found, url.port, peers)
                # As the kernel formats it, with the zone of a link-local address.
                return peers.address if found == peer else str(found)
        raise SinkRefused("expected the address that this request came from")

    def _resolved(self, host: str) -> list[Address | None]:
        if not self._lookups.acquire(blocking=False):
            raise SinkRefused(f"{LOOKUPS} other names are being resolved")
        try:
            return [_literal(found) for found in self._resolve(host)]
        finally:
            self._lookups.release()

    def _is_allowed(self, address: Address) -> bool:
        if address.is_multicast or address.is_unspecified:
            return False
        return any(address in network for network in self._networks)


def _unreachable(address: str, sentence: str) -> faults.Fault:
    detail = (namespaces.wsa("Address"), address)
    return faults.Fault("Sender", "wsa:DestinationUnreachable", _NO_ROUTE, detail, sentence=sentence)


def parse_url(url: str) -> SinkAddress:
    """Return the parts of an http or https URL; raise `SinkRefused` for one that parsers read differently."""
    if url == namespaces.ANONYMOUS:
        raise SinkRefused("the anonymous address cannot receive events")
    if len(url) > LONGEST_URI or not _URL.fullmatch(url) or _UNSAFE & {*url}:
        raise SinkRefused(f"expected a URI of at most {LONGEST_URI} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SinkRefused("expected an http or https address") from None
    if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc or parts.netloc.endswith(":"):
        raise SinkRefused("expected http or https, and a host without a user")
    if not _HOST.fullmatch(parts.hostname) or port == 0:
        raise SinkRefused("expected the name or the address of a host, and a port from 1 to 65535")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    netloc = _ZONE.sub("", parts.netloc)
    return SinkAddress(parts.scheme, netloc, parts.hostname, port or PORTS[parts.scheme], target)


def _literal(text: str) -> Address | None:
    """Return an address without its zone, an IPv4-mapped one as IPv4; None for a name."""
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _check_not_us(address: Address, port: int, peers: Peers) -> None:
    """Raise `SinkRefused` for the server's own address and port: it must not send requests to itself."""
    host, ours = peers.here
    if port == ours and (address == _literal(host) or _is_ours(address)):
        raise SinkRefused("this is the server itself")


def _is_ours(address: Address) -> bool:
    """Return whether this machine has the address, by binding a socket to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
