"""WS-Discovery of the simulated scanner by UDP: Hello, Bye, and the responses to Probe and Resolve.

The scanner listens at the multicast group on every interface. A message is sent twice, as one message; a response is
sent to the address and port that the request came from. IPv4 only. Source: dpws.md sections 3 and 6.
"""

from __future__ import annotations

import heapq
import itertools
import random
import select
import socket
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from lxml import etree

from postscan.cli.device.wsscan.protocol import soap
from postscan.cli.device.wsscan.protocol.soap import WSD, NotSoap, SoapWriter, WsdRequest

GROUP: Final = "239.255.255.250"
PORT: Final = 3702
TO: Final = "urn:schemas-xmlsoap-org:ws:2005:04:discovery"

_MAX_BYTES: Final = 65536
_MAX_PENDING: Final = 256
_MAX_SEEN: Final = 200
_DELAY: Final = (0.0, 0.1)  # before a response to a Probe
_REPEAT: Final = (0.05, 0.25)
_POLL: Final = 0.2
_RANDOM: Final = random.SystemRandom()

Respond = Callable[[WsdRequest, str], tuple[str, etree._Element] | None]
"""Returns action and body of the response to a request from an address; None for none."""


class DiscoverySocket:
    """A UDP socket at the group on *port*. *respond* is called with each new request."""

    def __init__(self, writer: SoapWriter, instance: int, respond: Respond, port: int = PORT) -> None:
        self._writer, self._instance, self._respond, self._port = writer, instance, respond, port
        self._numbers = itertools.count(1)
        self._order = itertools.count()
        self._pending: list[tuple[float, int, bytes, tuple[str, int]]] = []
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._stopped = threading.Event()
        self._interfaces = [index for index, _name in socket.if_nameindex()]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._udp.bind(("", port))
        except OSError:
            self._udp.close()
            raise
        self._interfaces = [index for index in self._interfaces if self._join(index)]
        self._thread = threading.Thread(target=self._run, name="wsd-discovery", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop without a Bye."""
        self._stopped.set()
        self._thread.join()
        self._udp.close()

    def announce(self, name: str, content: Callable[[str], etree._Element]) -> None:
        """Send Hello or Bye to the group, on each interface with the *content* for its address."""
        for index in self._interfaces:
            address = _interface_address(index)
            if not address:
                continue
            data = self._envelope(f"{WSD}/{name}", content(address), TO)
            for _ in range(2):
                try:
                    self._udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _request(index))
                    self._udp.sendto(data, (GROUP, self._port))
                except OSError:
                    break  # this interface has no multicast

    def _join(self, index: int) -> bool:
        try:
            request = struct.pack("=4s4si", socket.inet_aton(GROUP), bytes(4), index)
            self._udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        except OSError:
            return False  # no IPv4 on this interface
        return True

    def _run(self) -> None:
        while not self._stopped.is_set():
            due = self._pending[0][0] - time.monotonic() if self._pending else _POLL
            if select.select([self._udp], [], [], max(0.0, min(_POLL, due)))[0]:
                self._receive()
            while self._pending and self._pending[0][0] <= time.monotonic():
                _at, _order, data, to = heapq.heappop(self._pending)
                self._send(data, to)

    def _receive(self) -> None:
        try:
            data, peer = self._udp.recvfrom(_MAX_BYTES)
            request = soap.read(data)
        except (OSError, NotSoap):
            return
        if not request.message_id or request.message_id in self._seen or len(self._pending) >= _MAX_PENDING:
            return
        self._seen[request.message_id] = None
        while len(self._seen) > _MAX_SEEN:
            self._seen.popitem(last=False)
        response = self._respond(request, str(peer[0]))
        if response is not None:
            action, content = response
            message = self._envelope(action, content, soap.ANONYMOUS, request.message_id)
            first = time.monotonic() + _RANDOM.uniform(*_DELAY)
            for at in (first, first + _RANDOM.uniform(*_REPEAT)):
                heapq.heappush(self._pending, (at, next(self._order), message, (str(peer[0]), int(peer[1]))))

    def _send(self, data: bytes, to: tuple[str, int]) -> None:
        try:
            self._udp.sendto(data, to)
        except OSError:
            return  # no route to the sender any more

    def _envelope(self, action: str, content: etree._Element, to: str, relates_to: str = "") -> bytes:
        numbers = {"InstanceId": str(self._instance), "MessageNumber": str(next(self._numbers))}
        sequence = self._writer.element("wsd:AppSequence", **numbers)
        return self._writer.envelope(action, [content], to=to, relates_to=relates_to, headers=[sequence])


def local_address(peer: str) -> str:
    """Return the address of this machine on the route to *peer*; 127.0.0.1 without a route."""
    with socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            udp.connect((peer, 9))  # UDP: connect sends nothing
            return str(udp.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _request(index: int) -> bytes:
    return struct.pack("=4s4si", bytes(4), bytes(4), index)


def _interface_address(index: int) -> str:
    """Return the IPv4 address from which multicast leaves an interface; "" without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _request(index))
            udp.connect((GROUP, PORT))
            return str(udp.getsockname()[0])
        except OSError:
            return ""
