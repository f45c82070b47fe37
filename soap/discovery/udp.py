"""WS-Discovery by UDP: hear questions, answer them, say Hello at the start and Bye at the stop.

One socket for each port. The kernel tells with every datagram at which address and on which interface it arrived, and
the answer leaves from there. Links come and go while the server runs: it joins the groups on new ones, and says Hello
there. A server on a loopback address answers those who ask it and says nothing to groups.
Source: dpws.md sections 1, 3 and 6.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from postscan.core.errors import SettingsError
from postscan.core.settings.network import DiscoverySettings
from postscan.soap.discovery import interfaces
from postscan.soap.discovery.interfaces import FRESH_SECONDS, Link, Neighbours
from postscan.soap.discovery.responder import LARGEST, Advertisement, ReceivedDatagram, Responder

log = logging.getLogger(__name__)

GROUPS: Final = {socket.AF_INET: "239.255.255.250", socket.AF_INET6: "ff02::c"}
LONGEST_DELAY: Final = 2.5
"""Most seconds before a multicast question is answered (APP_MAX_DELAY allows 5; Windows waits no longer than 4)."""

TIMES: Final = 2
REPEAT_SECONDS: Final = (0.05, 0.25)
"""How often Hello and Bye are sent (MULTICAST_UDP_REPEAT), and the bounds of the pause between."""

_IP_PKTINFO, _IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 8, 49, 29  # Linux; the module socket does not have them
_ANCILLARY: Final = 256
_CHANCE: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class UdpSocket:
    """A socket on one port of a server at `address`; `lenient` as in `ReceivedDatagram`.

    `links` are those where it hears the group, `deaf` those where it cannot.
    """

    udp: socket.socket
    address: str
    lenient: bool
    links: set[Link] = field(default_factory=set)
    deaf: set[Link] = field(default_factory=set)

    @property
    def family(self) -> socket.AddressFamily:
        """Whether it speaks IPv4 or IPv6."""
        return socket.AddressFamily(self.udp.family)

    def follow(self) -> list[Link]:
        """Leave the group on links that are gone, join it on those that have come; return the latter."""
        if self.lenient or _is_loopback(self.address):
            return []
        there = interfaces.multicast_links(self.family, "" if _is_wildcard(self.address) else self.address)
        for link in self.links.difference(there):
            _leave(self, link)
        self.deaf.intersection_update(there)
        return [link for link in there if _join(self, link)]


@dataclass(frozen=True, slots=True)
class Datagram:
    """What arrived; `sender` is where an answer goes, `back` makes it leave from where this arrived."""

    data: bytes
    sender: tuple[Any, ...]
    arrival: ReceivedDatagram
    back: list[tuple[int, int, bytes]]


@contextlib.contextmanager
def listening(found: DiscoverySettings, address: str) -> Iterator[list[UdpSocket]]:
    """Open the ports for the body; raise `SettingsError` if one cannot be had.

    *address* is the one at which HTTP is listened on; `0.0.0.0` and `::` are every one of the machine.
    """
    ports = ((found.port, False), (found.directed_port, True))
    with contextlib.ExitStack() as stack:
        lines = []
        for port, directed in ports:
            if port:
                lines.append(
                    UdpSocket(stack.enter_context(_open(address, port, shared=not directed)), address, directed)
                )
                lines[-1].follow()
        yield lines


class DiscoveryServer:
    """The server's voice on the network, from `start` to `stop`; both run on the event loop.

    `delay` gives the seconds before an answer to a group's question, `pause` those between two repeats, `rest` those
    between two looks at the links.
    """

    def __init__(
        self,
        host: Advertisement,
        found: DiscoverySettings,
        address: str,
        lines: list[UdpSocket],
        *,
        delay: Callable[[], float] = lambda: _CHANCE.uniform(0, LONGEST_DELAY),
        pause: Callable[[], float] = lambda: _CHANCE.uniform(*REPEAT_SECONDS),
        rest: float = FRESH_SECONDS,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._lines = lines
        self._only = "" if _is_wildcard(address) else address
        self._port = found.port
        self._responder = Responder(host, Neighbours(found.networks, ticks).include, ticks)
        self._delay = delay
        self._pause = pause
        self._rest = rest
        self._waiting: set[asyncio.TimerHandle] = set()
        self._talking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Hear from now on, and say Hello a little later."""
        loop = asyncio.get_running_loop()
        for line in self._lines:
            loop.add_reader(line.udp, self._hear, line)
        self._talking = asyncio.create_task(self._talk())

    async def stop(self) -> None:
        """Hear nothing any more, and say Bye if Hello was said."""
        loop = asyncio.get_running_loop()
        for line in self._lines:
            loop.remove_reader(line.udp)
        for waiting in self._waiting:
            waiting.cancel()
        if self._talking is not None:
            self._talking.cancel()
            await asyncio.gather(self._talking, return_exceptions=True)
        await self._tell(self._host.bye(), self._everywhere())

    async def _talk(self) -> None:
        """Say Hello, and once more wherever a link has come."""
        await self._greet(self._everywhere())
        while True:
            await asyncio.sleep(self._rest)
            came = self._look_around()
            if came:
                await self._greet(came)

    async def _greet(self, there: list[tuple[UdpSocket, Link]]) -> None:
        await asyncio.sleep(self._delay())
        await self._tell(self._host.hello(), there)

    def _everywhere(self) -> list[tuple[UdpSocket, Link]]:
        return [(line, link) for line in self._lines for link in line.links]

    def _look_around(self) -> list[tuple[UdpSocket, Link]]:
        """Return the links that have come since the last look; they have joined the group."""
        try:
            return [(line, link) for line in self._lines for link in line.follow()]
        except OSError as error:
            log.info("the links could not be looked at: %s", error.strerror)  # one was taken away that very moment
            return []

    async def _tell(self, data: bytes, talking: list[tuple[UdpSocket, Link]]) -> None:
        """Send the same message to the group on these links, and again."""
        for time_ in range(TIMES if talking else 0):
            if time_:
                await asyncio.sleep(self._pause())
            for line, link in talking:
                group = (GROUPS[line.family], self._port)
                to = group if line.family == socket.AF_INET else (*group, 0, link.index)
                _send(line, data, to, [_packet_info(line.family, link.address, link.index)])

    def _hear(self, line: UdpSocket) -> None:
        """Take one datagram; nothing that is in it may stop the server."""
        try:
            datagram = _receive(line)
            if datagram is None or not self._is_for_us(datagram.arrival):
                return
            answer = self._responder.response_to(datagram.data, datagram.arrival)
        except Exception:
            log.exception("a datagram could not be dealt with")
            return
        if answer is None:
            return
        if datagram.arrival.multicast:
            self._later(lambda: _send(line, answer, datagram.sender, datagram.back))
        else:
            _send(line, answer, datagram.sender, datagram.back)

    def _is_for_us(self, arrival: ReceivedDatagram) -> bool:
        """Return whether a datagram came to an address that the server serves."""
        return arrival.multicast or not self._only or arrival.local == self._only

    def _later(self, send: Callable[[], None]) -> None:
        def now() -> None:
            self._waiting.discard(handle)
            send()

        handle = asyncio.get_running_loop().call_later(self._delay(), now)
        self._waiting.add(handle)


def _receive(line: UdpSocket) -> Datagram | None:
    """Return the next datagram; None for one that cannot be answered."""
    try:
        data, ancillary, _flags, sender = line.udp.recvmsg(LARGEST + 1, _ANCILLARY)
    except OSError:
        return None  # nothing there, or the error of an answer that nobody wanted
    source = str(sender[0]).partition("%")[0]
    for level, kind, info in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            index, local, to = struct.unpack("=i4s4s", info[:12])
            multicast = ipaddress.IPv4Address(to).is_multicast
            return _datagram(line, data, sender, ReceivedDatagram(source, socket.inet_ntoa(local), multicast), index)
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            to, index = struct.unpack("=16si", info[:20])
            address = ipaddress.IPv6Address(to)
            ours = interfaces.address6(index, source) if address.is_multicast else str(address)
            if ours:
                return _datagram(line, data, sender, ReceivedDatagram(source, ours, address.is_multicast), index)
    return None


def _datagram(line: UdpSocket, data: bytes, sender: tuple[Any, ...], arrival: ReceivedDatagram, index: int) -> Datagram:
    arrival = ReceivedDatagram(arrival.source, arrival.local, arrival.multicast, line.lenient)
    return Datagram(data, sender, arrival, [_packet_info(line.family, arrival.local, index)])


def _packet_info(family: socket.AddressFamily, local: str, index: int) -> tuple[int, int, bytes]:
    """Return what makes a datagram leave from this address of ours, on this interface."""
    if family == socket.AF_INET:
        return socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=i4s4s", index, socket.inet_aton(local), bytes(4))
    packed = socket.inet_pton(socket.AF_INET6, local)
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("=16si", packed, index)


def _send(line: UdpSocket, data: bytes, to: tuple[Any, ...], ancillary: list[tuple[int, int, bytes]]) -> None:
    try:
        line.udp.sendmsg([data], ancillary, 0, to)
    except OSError as error:
        log.info("a datagram to %s could not be sent: %s", to[0], error.strerror)


def _open(address: str, port: int, *, shared: bool) -> socket.socket:
    """Return a socket for a port, bound so that it hears groups, too, unless the server stays on loopback."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, shared)  # others on the machine hear the group, too
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
        else:
            opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            opened.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        opened.bind((address if _is_loopback(address) else "", port))
    except OSError as error:
        opened.close()
        raise SettingsError(f"discovery: cannot listen on UDP port {port}: {error.strerror}") from error
    return opened


def _join(line: UdpSocket, link: Link) -> bool:
    """Join the group on a link; return whether it was not joined before. What cannot be joined is logged once."""
    try:
        line.udp.setsockopt(*_membership(line.family, link, socket.IP_ADD_MEMBERSHIP, socket.IPV6_JOIN_GROUP))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:  # the kernel's word for a group that is joined already
            return False
        if link not in line.deaf:
            log.warning("discovery: no multicast at %s: %s", link.address, error.strerror)
        line.deaf.add(link)
        return False
    line.deaf.discard(link)
    line.links.add(link)
    return True


def _leave(line: UdpSocket, link: Link) -> None:
    """Leave the group on a link that is gone: the kernel keeps the place of a membership until then."""
    line.links.discard(link)
    with contextlib.suppress(OSError):
        line.udp.setsockopt(*_membership(line.family, link, socket.IP_DROP_MEMBERSHIP, socket.IPV6_LEAVE_GROUP))


def _membership(family: socket.AddressFamily, link: Link, option4: int, option6: int) -> tuple[int, int, bytes]:
    group = socket.inet_pton(family, GROUPS[family])
    if family == socket.AF_INET:
        request = struct.pack("=4s4si", group, socket.inet_aton(link.address), link.index)
        return socket.IPPROTO_IP, option4, request
    return socket.IPPROTO_IPV6, option6, struct.pack("=16si", group, link.index)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _is_wildcard(address: str) -> bool:
    return ipaddress.ip_address(address).is_unspecified
