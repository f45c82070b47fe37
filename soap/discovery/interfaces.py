"""The network interfaces of this machine: where multicast is joined, and which sources are local. Linux.

psutil returns the interfaces, their addresses, prefixes and flags. It returns no routes, so the IPv4 networks that the
kernel reaches without a gateway are read from its routing table. Source: T-D2; proc_pid_net(5).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Final

import psutil

FRESH_SECONDS: Final = 5.0
"""Seconds after which the kernel is asked again, since interfaces and routes change."""

_ROUTES: Final = Path("/proc/thread-self/net/route")
_USABLE, _GATEWAY = 0x1, 0x2

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that is up and does multicast: its index, and one address of this machine on it.

    The index is 0 if only the address is known; the kernel then finds the interface by it.
    """

    index: int
    address: str


class LocalNetworks:
    """The networks whose sources get answers: those of this machine's interfaces, and those in the settings.

    *ticks* returns monotonic seconds.
    """

    def __init__(self, allowed: Iterable[str], ticks: Callable[[], float]) -> None:
        self._allowed = tuple(ipaddress.ip_network(one) for one in allowed)
        self._ticks = ticks
        self._attached: tuple[Network, ...] = ()
        self._until = float("-inf")

    def is_local(self, source: str) -> bool:
        """Return whether *source*, an address without its zone, is in one of the networks."""
        address = ipaddress.ip_address(source)
        if address.is_loopback or (address.version == 6 and address.is_link_local):
            return True  # routers forward neither of them
        if self._ticks() >= self._until:
            self._attached = (*routes(_routing_table()), *(one.network for _name, one in _addresses6()))
            self._until = self._ticks() + FRESH_SECONDS
        return any(address in network for network in (*self._allowed, *self._attached))


def multicast_interfaces(family: socket.AddressFamily, only: str = "") -> list[Interface]:
    """Return the interfaces that are up, do multicast and are not loopback, each with one address of *family*.

    With *only*, the one that has this address. Raises `OSError` if the interfaces cannot be listed.
    """
    if only and family == socket.AF_INET:
        return [Interface(0, only)]
    return list(_interfaces6(only) if family == socket.AF_INET6 else _interfaces4())


def address6(index: int, source: str) -> str | None:
    """Return our IPv6 address on an interface with the scope of *source* (link-local or wider); None without one."""
    link_local = IPv6Address(source).is_link_local
    own = (one.ip for name, one in _addresses6() if _index(name) == index)
    return next((str(one) for one in own if one.is_link_local == link_local), None)


def routes(table: str) -> Iterator[IPv4Network]:
    """Yield the networks of a routing table (proc_pid_net(5), `route`) that are reached without a gateway."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        flags = int(fields[3], 16)
        destination, mask = (IPv4Address(struct.pack("=I", int(fields[at], 16))) for at in (1, 7))
        if flags & _USABLE and not flags & _GATEWAY and int(mask):
            yield IPv4Network(f"{destination}/{mask}")


def _interfaces4() -> Iterator[Interface]:
    """Yield each interface with its first address, which is its primary one."""
    addresses = psutil.net_if_addrs()
    for name in _multicast_names():
        primary = next((one.address for one in addresses.get(name, ()) if one.family == socket.AF_INET), None)
        if primary is not None and (index := _index(name)):
            yield Interface(index, primary)


def _interfaces6(only: str) -> Iterator[Interface]:
    """Yield each interface with its link-local address if it has one: the scope of the discovery group."""
    wanted, names = IPv6Address(only) if only else None, set(_multicast_names())
    found: dict[str, IPv6Address] = {}
    for name, one in _addresses6():
        if name in names and wanted in (None, one.ip) and (name not in found or one.ip.is_link_local):
            found[name] = one.ip
    for name, address in found.items():
        if index := _index(name):
            yield Interface(index, str(address))


def _multicast_names() -> Iterator[str]:
    for name, one in psutil.net_if_stats().items():
        flags = set(one.flags.split(","))
        if flags >= {"up", "multicast"} and "loopback" not in flags:
            yield name


def _addresses6() -> Iterator[tuple[str, IPv6Interface]]:
    """Yield each IPv6 address with its interface's name and its network, without the zone."""
    for name, addresses in psutil.net_if_addrs().items():
        for one in addresses:
            if one.family == socket.AF_INET6:
                prefix = int(IPv6Address(one.netmask)).bit_count() if one.netmask else 128
                yield name, IPv6Interface((one.address.partition("%")[0], prefix))


def _index(name: str) -> int:
    """Return the index of an interface; 0 if it is gone since it was listed."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _routing_table() -> str:
    try:
        return _ROUTES.read_text("ascii")
    except OSError:
        return ""  # a machine without IPv4
