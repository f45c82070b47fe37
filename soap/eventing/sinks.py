"""May this subscriber have messages sent there? To its own host, and into networks that the settings name.

What an address stands for is looked up once, when a subscription is made; messages go there and nowhere else, however
the name may change. Every refusal is the same fault, and shows nothing but the address that was refused.
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
"""Names that may be looked up at a time: a name server that does not answer must not hold up more than that."""

PORTS: Final = {"http": 80, "https": 443}

_NO_ROUTE: Final = "No route can be determined to reach the destination role defined by the WS-Addressing To."
_URL: Final = re.compile(r"[!-~]+")
_STRANGE: Final = frozenset('\\"<>^`{|}')
_ZONE: Final = re.compile(r"%[^\]]*")
_HOST: Final = re.compile(r"[A-Za-z0-9_.:%-]+")

Address = IPv4Address | IPv6Address


class SinkRefused(ValueError):
    """Nothing is sent to this address; the sentence says why."""


@dataclass(frozen=True, slots=True)
class SinkAddress:
    """An HTTP address, taken apart. `netloc` is host and port as they were written, without a zone."""

    scheme: str
    netloc: str
    host: str
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and where: the address at the other end of the connection, and our own address and port."""

    address: str
    here: tuple[str, int]


def lookup(host: str) -> list[str]:
    """Return the addresses that a name stands for, as the machine's resolver says; none if it does not know it."""
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []


class Sinks:
    """Admits the sinks of one server. `resolve` may block: it asks the network."""

    def __init__(self, networks: Iterable[str], resolve: Callable[[str], Iterable[str]] = lookup) -> None:
        self._networks = tuple(ipaddress.ip_network(one) for one in networks)
        self._resolve = resolve
        self._lookups = threading.BoundedSemaphore(LOOKUPS)

    def admit(self, wanted: Reference, asker: Asker) -> Sink:
        """Return where messages for this reference go; raise `Fault` if the asker may not have any sent there."""
        try:
            place = taken_apart(wanted.address)
            return Sink(wanted.address, self._pinned(place, asker), wanted.parameters)
        except SinkRefused as refused:
            shown = wanted.address[: faults.LONGEST_VALUE]
            sentence = f"{shown!r} is no place for events of {asker.address}: {refused}"
            raise _unreachable(wanted.address, sentence) from None

    def _pinned(self, place: SinkAddress, asker: Asker) -> str:
        """Return the one address that connections go to; raise `SinkRefused`."""
        peer, literal = _literal(asker.address), _literal(place.host)
        for found in [literal] if literal else self._stands_for(place.host):
            if found is not None and (found == peer or self._is_allowed(found)):
                _check_not_us(found, place.port, asker)
                # As the kernel wrote it: with the zone of a link-local address.
                return asker.address if found == peer else str(found)
        raise SinkRefused("expected the address that this request came from")

    def _stands_for(self, host: str) -> list[Address | None]:
        if not self._lookups.acquire(blocking=False):
            raise SinkRefused(f"{LOOKUPS} other names are being looked up")
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


def taken_apart(url: str) -> SinkAddress:
    """Return the parts of an http or https address; raise `SinkRefused` for what two parsers may read differently."""
    if url == namespaces.ANONYMOUS:
        raise SinkRefused("events do not go back on a connection")
    if len(url) > LONGEST_URI or not _URL.fullmatch(url) or _STRANGE & {*url}:
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
    """Return an address without its zone, None for a name; IPv4 in the clothes of IPv6 is IPv4."""
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _check_not_us(address: Address, port: int, asker: Asker) -> None:
    """Raise `SinkRefused` for our own door: the server is not to talk to itself."""
    host, ours = asker.here
    if port == ours and (address == _literal(host) or _is_ours(address)):
        raise SinkRefused("this is the server itself")


def _is_ours(address: Address) -> bool:
    """Return whether this machine has the address: only then does the kernel let a socket have it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
