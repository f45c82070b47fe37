"""WS-Discovery by UDP as a client: send Probes to the group, receive matches, Hello and Bye. Nothing is answered.

The socket for Hello and Bye is bound to the address of the group, so it takes no direct question away from a server of
this machine, and sends nothing. A datagram may be forged: it is bounded and counted before it is parsed, only local
sources and those of the settings are read, and it only makes the receiver look for itself.
Source: ws-scan.md section 3; WSS-001, WSS-007; T-D1, T-D2.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from postscan.core.model.rate_limit import RateLimit
from postscan.soap.discovery import interfaces
from postscan.soap.discovery.interfaces import LocalNetworks
from postscan.soap.wsscan.faults import InvalidAnswer
from postscan.soap.wsscan.finding import messages
from postscan.soap.wsscan.finding.messages import Announcement
from postscan.soap.xml.writing import new_message_id

GROUP: Final = "239.255.255.250"
LARGEST: Final = 8192
"""Most bytes of a datagram that is parsed."""

PER_SENDER: Final = 10
IN_ALL: Final = 100
"""Most datagrams that are parsed in a second: of one sender, and of all."""

PROBE_SECONDS: Final = 10.0
PROBES: Final = 5
"""Seconds between two Probes to one host, and most Probes to single hosts in a second."""

FIRST_PAUSES: Final = (0.0, 0.25, 2.0, 8.0)
PAUSE: Final = 60.0
"""Seconds between two Probes: after the start, and later."""

LOOK_SECONDS: Final = 10.0
"""Seconds between two looks at the interfaces of the machine."""

_ASKED: Final = 16  # Probes whose matches are taken
_POLL: Final = 0.25


class DiscoveryClient:
    """Looks for devices on the network in a thread of its own, from `start` to `stop`.

    *on_found* gets each announcement and the address that it came from; it must return soon. Without *asks*, no
    Probe goes to the group. *networks* are allowed beside those of this machine's interfaces. *addresses* are the local
    addresses that are used; None: all that do multicast.
    """

    def __init__(
        self,
        on_found: Callable[[Announcement, str], None],
        *,
        port: int,
        asks: bool = True,
        networks: Iterable[str] = (),
        addresses: Sequence[str] | None = None,
        log: Callable[..., None],
    ) -> None:
        self._on_found = on_found
        self._port = port
        self._asks = asks
        self._addresses = addresses
        self._log = log
        self._local = LocalNetworks(networks, time.monotonic)
        self._per_sender = RateLimit(PER_SENDER, 1.0, time.monotonic)
        self._in_all = RateLimit(IN_ALL, 1.0, time.monotonic)
        self._probes = RateLimit(1, PROBE_SECONDS, time.monotonic)
        self._probes_in_all = RateLimit(PROBES, 1.0, time.monotonic)
        self._asked: list[str] = []
        self._asking: dict[str, socket.socket] = {}
        self._hearing: socket.socket | None = None
        self._over = threading.Event()
        self._soon = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wsscan-discovery", daemon=True)

    def start(self) -> None:
        """Send the first Probe, and receive from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Close the sockets; nothing is sent at the end."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def probe_soon(self) -> None:
        """Send a Probe now, unless one was sent in the last seconds."""
        self._soon.set()

    def probe(self, host: str) -> None:
        """Send a Probe to one host, now and then: a Hello need not contain types or an address, and may be forged."""
        if self._probes.take(host) or self._probes_in_all.take(""):
            return
        message_id = self._new_question()
        for one in list(self._asking.values())[:1]:
            with contextlib.suppress(OSError):
                one.sendto(messages.probe(message_id), (host, self._port))

    def _run(self) -> None:
        pauses = iter(FIRST_PAUSES)
        next_probe = time.monotonic() + next(pauses)
        next_look = last_probe = 0.0
        try:
            while not self._over.is_set():
                now = time.monotonic()
                if now >= next_look:
                    self._update_sockets()
                    next_look = now + LOOK_SECONDS
                if self._soon.is_set() and now >= last_probe + FIRST_PAUSES[-2]:
                    self._soon.clear()
                    next_probe = now
                if now >= next_probe:
                    if self._asks:
                        self._probe_all()
                    last_probe, next_probe = now, now + next(pauses, PAUSE)
                self._receive(min(_POLL, max(0.0, next_probe - now)))
        finally:
            for one in (*self._asking.values(), *([self._hearing] if self._hearing else [])):
                one.close()

    def _update_sockets(self) -> None:
        """Have one socket for questions on each interface, and be a member of the group there."""
        present = self._present()
        for address in self._asking.keys() - present:
            self._asking.pop(address).close()
            self._membership(socket.IP_DROP_MEMBERSHIP, address)
        for address in sorted(present - self._asking.keys()):
            try:
                self._asking[address] = _asking_socket(address)
            except OSError as error:
                self._log("no Probes on an interface", "warning", address=address, reason=error)
                continue
            self._membership(socket.IP_ADD_MEMBERSHIP, address)

    def _present(self) -> set[str]:
        if self._addresses is not None:
            return set(self._addresses)
        try:
            return {one.address for one in interfaces.multicast_interfaces(socket.AF_INET)}
        except OSError:  # one was removed in the middle of the list
            return set(self._asking)

    def _membership(self, option: int, address: str) -> None:
        try:
            if self._hearing is None:
                self._hearing = _hearing_socket(self._port)
            member = struct.pack("=4s4si", socket.inet_aton(GROUP), socket.inet_aton(address), 0)
            self._hearing.setsockopt(socket.IPPROTO_IP, option, member)
        except OSError as error:
            if option == socket.IP_ADD_MEMBERSHIP:
                self._log("no Hello is received on an interface", "warning", address=address, reason=error)

    def _probe_all(self) -> None:
        data = messages.probe(self._new_question())
        for one in self._asking.values():
            with contextlib.suppress(OSError):  # the interface is down
                one.sendto(data, (GROUP, self._port))

    def _new_question(self) -> str:
        message_id = new_message_id()
        self._asked = [*self._asked, message_id][-_ASKED:]
        return message_id

    def _receive(self, seconds: float) -> None:
        """Receive what has arrived, or arrives within *seconds*."""
        open_ = [*self._asking.values(), *([self._hearing] if self._hearing else [])]
        if not open_:
            self._over.wait(seconds)
            return
        poll = select.poll()
        for one in open_:
            poll.register(one, select.POLLIN)
        ready = {descriptor for descriptor, _event in poll.poll(1000 * seconds)}
        for one in open_:
            if one.fileno() not in ready:
                continue
            try:
                data, sender = one.recvfrom(LARGEST + 1, socket.MSG_DONTWAIT)
            except OSError:
                continue  # nothing to read after all, or the ICMP error of a Probe
            self._read(data, str(sender[0]), is_group=one is self._hearing)

    def _read(self, data: bytes, sender: str, *, is_group: bool) -> None:
        """Pass on the announcements in a datagram; matches only if they answer a Probe of ours."""
        if not 0 < len(data) <= LARGEST or not self._local.is_local(sender):
            return
        if self._per_sender.take(sender) or self._in_all.take(""):
            return
        try:
            found = messages.read(data)
        except InvalidAnswer:
            return
        for one in found:
            if (one.kind == "match") != is_group and (one.kind != "match" or one.relates_to in ("", *self._asked)):
                self._on_found(one, sender)


def _asking_socket(address: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.bind((address, 0))
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
    except OSError:
        opened.close()
        raise
    return opened


def _hearing_socket(port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((GROUP, port))
    except OSError:
        opened.close()
        raise
    return opened
