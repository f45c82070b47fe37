"""The networks that this machine is on: where its interfaces are, and who is a neighbour. Linux.

Neighbours are the sources that the kernel reaches without a gateway. Source: T-D2; netdevice(7), proc(5).
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Final

FRESH_SECONDS: Final = 5.0
"""Seconds after which the kernel is asked again: networks come and go."""

_ROUTES: Final = Path("/proc/thread-self/net/route")
_ADDRESSES6: Final = Path("/proc/thread-self/net/if_inet6")
_SIOCGIFFLAGS, _SIOCGIFADDR = 0x8913, 0x8915
_UP, _LOOPBACK, _MULTICAST = 0x1, 0x8, 0x1000
_USABLE, _GATEWAY = 0x1, 0x2

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Link:
    """An interface that reaches neighbours by multicast, by its index; and one address of ours on it."""

    index: int
    address: str


class Neighbours:
    """Whether a source is on one of our links, or in a network that the settings name."""

    def __init__(self, allowed: Iterable[str], ticks: Callable[[], float]) -> None:
        self._allowed = tuple(ipaddress.ip_network(one) for one in allowed)
        self._ticks = ticks
        self._near: tuple[Network, ...] = ()
        self._until = float("-inf")

    def include(self, source: str) -> bool:
        """Return whether questions from *source*, an address without its zone, are answered."""
        address = ipaddress.ip_address(source)
        if address.is_loopback or (address.version == 6 and address.is_link_local):
            return True  # no router passes either of them on
        if self._ticks() >= self._until:
            self._near = (*routes(_read(_ROUTES)), *(one.network for _index, one in addresses6(_read(_ADDRESSES6))))
            self._until = self._ticks() + FRESH_SECONDS
        return any(address in network for network in (*self._allowed, *self._near))


def multicast_links(family: socket.AddressFamily, only: str = "") -> list[Link]:
    """Return the links that are up and not loopback; with *only*, those on which that address is ours."""
    if family == socket.AF_INET6:
        names = dict(_multicast_names(family))
        found = [Link(index, str(one.ip)) for index, one in addresses6(_read(_ADDRESSES6)) if index in names]
        found = [one for one in found if one.address == str(IPv6Address(only))] if only else found
        return list({link.index: link for link in found}.values())
    if only:
        return [Link(0, only)]  # the kernel finds the interface by the address
    return list(_links4())


def address6(index: int, source: str) -> str | None:
    """Return our address on an interface, of the kind that *source* can reach; None if there is none."""
    local = IPv6Address(source).is_link_local
    ours = (one.ip for number, one in addresses6(_read(_ADDRESSES6)) if number == index)
    return next((str(one) for one in ours if one.is_link_local == local), None)


def routes(table: str) -> Iterator[IPv4Network]:
    """Yield the networks of a routing table (proc_pid_net(5), `route`) that are reached without a gateway."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        flags = int(fields[3], 16)
        destination, mask = (IPv4Address(struct.pack("=I", int(fields[at], 16))) for at in (1, 7))
        if flags & _USABLE and not flags & _GATEWAY and int(mask):
            yield IPv4Network(f"{destination}/{mask}")


def addresses6(table: str) -> Iterator[tuple[int, IPv6Interface]]:
    """Yield interface index and address with its network out of the kernel's table (`if_inet6`)."""
    for line in table.splitlines():
        address, index, length = line.split()[:3]
        yield int(index, 16), IPv6Interface((bytes.fromhex(address), int(length, 16)))


def _links4() -> Iterator[Link]:
    for index, name in _multicast_names(socket.AF_INET):
        try:
            asked = _ask(socket.AF_INET, _SIOCGIFADDR, name)
        except OSError:
            continue  # it has no address of this family
        yield Link(index, socket.inet_ntoa(asked[20:24]))


def _multicast_names(family: socket.AddressFamily) -> Iterator[tuple[int, str]]:
    for index, name in socket.if_nameindex():
        try:
            asked = _ask(family, _SIOCGIFFLAGS, name)
        except OSError:
            continue  # it has gone since it was listed
        (flags,) = struct.unpack_from("=H", asked, 16)
        if flags & (_UP | _LOOPBACK | _MULTICAST) == _UP | _MULTICAST:
            yield index, name


def _ask(family: socket.AddressFamily, request: int, name: str) -> bytes:
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        return fcntl.ioctl(asking, request, struct.pack("256s", name.encode()[:15]))


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError:
        return ""  # a machine without this family
