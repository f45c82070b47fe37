"""WS-Discovery by UDP: receive questions and answer them, send Hello at the start and Bye at the stop.

One socket for each port. The kernel returns with every datagram the address and the interface at which it arrived, and
the answer is sent from there. Interfaces come and go while the server runs: the server joins the group on each new one
and sends Hello there. On a loopback address it answers direct questions and sends nothing to groups.
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

from postscan.core.cluster.endpoint import SharedEndpoint
from postscan.core.errors import SettingsError, StoreBusy
from postscan.core.settings.network import DiscoverySettings
from postscan.soap.discovery import interfaces
from postscan.soap.discovery.interfaces import FRESH_SECONDS, Interface, LocalNetworks
from postscan.soap.discovery.responder import LARGEST, Advertisement, ReceivedDatagram, Responder

log = logging.getLogger(__name__)

GROUPS: Final = {socket.AF_INET: "239.255.255.250", socket.AF_INET6: "ff02::c"}
LONGEST_DELAY: Final = 2.5
"""Upper bound in seconds of the delay before a multicast question is answered (APP_MAX_DELAY allows 5; Windows waits
for 4)."""

TIMES: Final = 2
REPEAT_SECONDS: Final = (0.05, 0.25)
"""How often Hello and Bye are sent (MULTICAST_UDP_REPEAT), and the bounds of the pause between two."""

LEAD_SECONDS: Final = 1.0
"""Seconds between two looks whether this server leads, where there are several."""

_IP_PKTINFO, _IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 8, 49, 29  # Linux; not in the module socket
_ANCILLARY: Final = 256
_RANDOM: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class UdpSocket:
    """A socket on one port of a server at `address`; `lenient` as in `ReceivedDatagram`.

    `joined` are the interfaces on which it receives the group's datagrams, `failed` those on which the join failed.
    """

    raw: socket.socket
    address: str
    lenient: bool
    joined: set[Interface] = field(default_factory=set)
    failed: set[Interface] = field(default_factory=set)

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return socket.AddressFamily(self.raw.family)

    def update_memberships(self) -> list[Interface]:
        """Leave the group on interfaces that are gone, join it on new ones, and return the new ones.

        Returns [] if the interfaces cannot be listed: one may be removed in the middle of the list.
        """
        if self.lenient or _is_loopback(self.address):
            return []
        try:
            present = interfaces.multicast_interfaces(self.family, "" if _is_wildcard(self.address) else self.address)
        except OSError as error:
            log.info("interfaces not listed", extra={"reason": error.strerror})
            return []
        for one in self.joined.difference(present):
            _leave(self, one)
        self.failed.intersection_update(present)
        return [one for one in present if _join(self, one)]


@dataclass(frozen=True, slots=True)
class Datagram:
    """A received datagram. `sender` is the address of the answer; `back` is the ancillary data with which it is sent
    from the address and interface at which this one arrived."""

    data: bytes
    sender: tuple[Any, ...]
    arrival: ReceivedDatagram
    back: list[tuple[int, int, bytes]]


@contextlib.contextmanager
def listening(found: DiscoverySettings, address: str) -> Iterator[list[UdpSocket]]:
    """Open the UDP ports for the body; raise `SettingsError` if one cannot be opened.

    *address* is the one on which the server listens for HTTP; `0.0.0.0` and `::` are all of the machine.
    """
    ports = ((found.port, False), (found.directed_port, True))
    with contextlib.ExitStack() as stack:
        sockets = []
        for port, directed in ports:
            if port:
                opened = stack.enter_context(_open(address, port, shared=not directed))
                sockets.append(UdpSocket(opened, address, directed))
                sockets[-1].update_memberships()
        yield sockets


class DiscoveryServer:
    """Background task that receives questions and announces the server, from `start` to `stop` on one event loop.

    Of several servers with one endpoint only the leader does so, from its Hello on; the last one that stops says Bye.

    All pauses are in seconds: `delay` returns the one before an answer to a multicast question, `pause` the one between
    two sendings of a message, `rest` is the one between two reads of the interfaces.
    """

    def __init__(
        self,
        advertisement: Advertisement,
        found: DiscoverySettings,
        address: str,
        sockets: list[UdpSocket],
        *,
        delay: Callable[[], float] = lambda: _RANDOM.uniform(0, LONGEST_DELAY),
        pause: Callable[[], float] = lambda: _RANDOM.uniform(*REPEAT_SECONDS),
        rest: float = FRESH_SECONDS,
        ticks: Callable[[], float] = time.monotonic,
        endpoint: SharedEndpoint | None = None,
    ) -> None:
        self._endpoint = None if endpoint is None or endpoint.leadership.is_alone else endpoint
        self._is_announced = self._endpoint is None
        self._advertisement = advertisement
        self._sockets = sockets
        self._only = "" if _is_wildcard(address) else address
        self._port = found.port
        self._responder = Responder(advertisement, LocalNetworks(found.networks, ticks).is_local, ticks)
        self._delay = delay
        self._pause = pause
        self._rest = rest
        self._delayed: set[asyncio.TimerHandle] = set()
        self._announcement: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Receive datagrams from now on, and send Hello after a delay."""
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            loop.add_reader(one.raw, self._on_readable, one)
        self._announcement = asyncio.create_task(self._announce())

    async def stop(self) -> None:
        """Receive nothing more, drop delayed answers, and send Bye."""
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            loop.remove_reader(one.raw)
        for handle in self._delayed:
            handle.cancel()
        if self._announcement is not None:
            self._announcement.cancel()
            await asyncio.gather(self._announcement, return_exceptions=True)
        if await self._is_last():
            await self._multicast(self._advertisement.bye(), self._joined())

    async def _announce(self) -> None:
        """Send Hello everywhere, then on each interface that appears."""
        if self._endpoint is None:
            await self._send_hello(self._joined())
        while True:
            if self._endpoint is not None:
                await self._follow(self._endpoint)
            await asyncio.sleep(self._rest if self._endpoint is None else min(self._rest, LEAD_SECONDS))
            new = [(udp, interface) for udp in self._sockets for interface in udp.update_memberships()]
            if new:
                await self._send_hello(new)

    async def _follow(self, endpoint: SharedEndpoint) -> None:
        """Begin a run when this server begins to lead, and answer nothing any more when it has ceased."""
        if not endpoint.leadership.is_leader:
            self._is_announced = False
        elif not self._is_announced:
            try:
                instance = await asyncio.to_thread(endpoint.next_instance, int(time.time()))
            except StoreBusy:
                return  # the next look tries again
            self._advertisement.begin(instance)
            self._is_announced = True
            await self._send_hello(self._joined())

    async def _is_last(self) -> bool:
        """Return whether the endpoint ends with this server."""
        if self._endpoint is None:
            return True
        try:
            return self._endpoint.leadership.is_leader and await asyncio.to_thread(self._endpoint.is_last)
        except StoreBusy:
            return False

    def _may_answer(self) -> bool:
        return self._endpoint is None or (self._is_announced and self._endpoint.leadership.is_leader)

    async def _send_hello(self, to: list[tuple[UdpSocket, Interface]]) -> None:
        await asyncio.sleep(self._delay())
        await self._multicast(self._advertisement.hello(), to)

    def _joined(self) -> list[tuple[UdpSocket, Interface]]:
        return [(udp, interface) for udp in self._sockets for interface in udp.joined]

    async def _multicast(self, data: bytes, to: list[tuple[UdpSocket, Interface]]) -> None:
        """Send the same message `TIMES` times to the group on these interfaces."""
        for time_ in range(TIMES if to else 0):
            if time_:
                await asyncio.sleep(self._pause())
            for udp, interface in to:
                group = (GROUPS[udp.family], self._port)
                address = group if udp.family == socket.AF_INET else (*group, 0, interface.index)
                _send(udp, data, address, [_packet_info(udp.family, interface.address, interface.index)])

    def _on_readable(self, udp: UdpSocket) -> None:
        """Receive one datagram and answer it; an error is logged, since it must not stop the server."""
        try:
            datagram = _receive(udp)
            if datagram is None or not self._is_for_us(datagram.arrival) or not self._may_answer():
                return
            response = self._responder.response_to(datagram.data, datagram.arrival)
        except Exception:
            log.exception("datagram not processed")
            return
        if response is None:
            return
        if datagram.arrival.multicast:
            self._later(lambda: _send(udp, response, datagram.sender, datagram.back))
        else:
            _send(udp, response, datagram.sender, datagram.back)

    def _is_for_us(self, arrival: ReceivedDatagram) -> bool:
        """Return whether a datagram was sent to the group or to an address of the server."""
        return arrival.multicast or not self._only or arrival.local == self._only

    def _later(self, send: Callable[[], None]) -> None:
        def now() -> None:
            self._delayed.discard(handle)
            send()

        handle = asyncio.get_running_loop().call_later(self._delay(), now)
        self._delayed.add(handle)


def _receive(udp: UdpSocket) -> Datagram | None:
    """Return the next datagram; None for one that cannot be answered."""
    try:
        data, ancillary, _flags, sender = udp.raw.recvmsg(LARGEST + 1, _ANCILLARY)
    except OSError:
        return None  # nothing to read, or the ICMP error of an earlier answer
    source = str(sender[0]).partition("%")[0]
    for level, kind, info in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            index, local, to = struct.unpack("=i4s4s", info[:12])
            multicast = ipaddress.IPv4Address(to).is_multicast
            return _datagram(udp, data, sender, ReceivedDatagram(source, socket.inet_ntoa(local), multicast), index)
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            to, index = struct.unpack("=16si", info[:20])
            address = ipaddress.IPv6Address(to)
            ours = interfaces.address6(index, source) if address.is_multicast else str(address)
            if ours:
                return _datagram(udp, data, sender, ReceivedDatagram(source, ours, address.is_multicast), index)
    return None


def _datagram(udp: UdpSocket, data: bytes, sender: tuple[Any, ...], arrival: ReceivedDatagram, index: int) -> Datagram:
    arrival = ReceivedDatagram(arrival.source, arrival.local, arrival.multicast, udp.lenient)
    return Datagram(data, sender, arrival, [_packet_info(udp.family, arrival.local, index)])


def _packet_info(family: socket.AddressFamily, local: str, index: int) -> tuple[int, int, bytes]:
    """Return the ancillary data that makes the kernel send from this address, on this interface."""
    if family == socket.AF_INET:
        return socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=i4s4s", index, socket.inet_aton(local), bytes(4))
    packed = socket.inet_pton(socket.AF_INET6, local)
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("=16si", packed, index)


def _send(udp: UdpSocket, data: bytes, to: tuple[Any, ...], ancillary: list[tuple[int, int, bytes]]) -> None:
    try:
        udp.raw.sendmsg([data], ancillary, 0, to)
    except OSError as error:
        log.info("datagram not sent", extra={"address": to[0], "reason": error.strerror})


def _open(address: str, port: int, *, shared: bool) -> socket.socket:
    """Return a socket bound to a port; to every address, for only then are groups received, unless on loopback."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, shared)  # other programs on this machine use the port
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


def _join(udp: UdpSocket, interface: Interface) -> bool:
    """Join the group on an interface; return whether this call joined it. A failure is logged once."""
    try:
        udp.raw.setsockopt(*_membership(udp.family, interface, socket.IP_ADD_MEMBERSHIP, socket.IPV6_JOIN_GROUP))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:  # joined already
            return False
        if interface not in udp.failed:
            log.warning("multicast group not joined", extra={"address": interface.address, "reason": error.strerror})
        udp.failed.add(interface)
        return False
    udp.failed.discard(interface)
    udp.joined.add(interface)
    return True


def _leave(udp: UdpSocket, interface: Interface) -> None:
    """Leave the group on an interface that is gone, since the kernel limits the memberships of a socket."""
    udp.joined.discard(interface)
    with contextlib.suppress(OSError):
        udp.raw.setsockopt(*_membership(udp.family, interface, socket.IP_DROP_MEMBERSHIP, socket.IPV6_LEAVE_GROUP))


def _membership(
    family: socket.AddressFamily, interface: Interface, option4: int, option6: int
) -> tuple[int, int, bytes]:
    group = socket.inet_pton(family, GROUPS[family])
    if family == socket.AF_INET:
        request = struct.pack("=4s4si", group, socket.inet_aton(interface.address), interface.index)
        return socket.IPPROTO_IP, option4, request
    return socket.IPPROTO_IPV6, option6, struct.pack("=16si", group, interface.index)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _is_wildcard(address: str) -> bool:
    return ipaddress.ip_address(address).is_unspecified
