"""The interfaces and networks of this machine, as psutil and the routing table describe them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import psutil
import pytest

from postscan.soap.discovery import interfaces
from postscan.soap.discovery.interfaces import Interface, LocalNetworks


class Described(NamedTuple):
    """One address of an interface, as psutil describes it."""

    family: socket.AddressFamily
    address: str
    netmask: str | None


class Flags(NamedTuple):
    """The flags of an interface, as psutil describes them."""

    flags: str


def inet(address: str, netmask: str = "255.255.255.0") -> Described:
    """Return an IPv4 address."""
    return Described(socket.AF_INET, address, netmask)


def inet6(address: str, netmask: str | None = "ffff:ffff:ffff:ffff::") -> Described:
    """Return an IPv6 address."""
    return Described(socket.AF_INET6, address, netmask)


USUAL = "up,broadcast,running,multicast"
MACHINE = {
    "lo": ("up,loopback,running,multicast", [inet("127.0.0.1", "255.0.0.0"), inet6("::1", None)]),
    "eth0": (USUAL, [inet("192.0.2.7"), inet("192.0.2.8"), inet6("2001:db8::7"), inet6("fe80::7%eth0")]),
    "eth1": (USUAL, [inet6("2001:db8:1::7", "ffff:ffff:ffff::")]),
    "down0": ("broadcast,multicast", [inet("198.51.100.7"), inet6("2001:db8:2::7")]),
    "tun0": ("up,pointopoint,running", [inet("203.0.113.7", "255.255.255.255")]),
    "bare0": (USUAL, []),
    "gone0": (USUAL, [inet("203.0.113.8"), inet6("2001:db8:3::7")]),
}
INDEXES = {"lo": 1, "eth0": 2, "eth1": 3, "down0": 4, "tun0": 5, "bare0": 6}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with these interfaces, the last of which disappears after it was listed."""

    def index(name: str) -> int:
        if name not in INDEXES:
            raise OSError("no interface with this name")
        return INDEXES[name]

    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {name: addresses for name, (_, addresses) in MACHINE.items()})
    monkeypatch.setattr(psutil, "net_if_stats", lambda: {name: Flags(flags) for name, (flags, _) in MACHINE.items()})
    monkeypatch.setattr(socket, "if_nametoindex", index)


@pytest.mark.usefixtures("machine")
def test_multicast_is_joined_on_interfaces_that_are_up_and_do_multicast() -> None:
    """By IPv4 with the primary address, by IPv6 with the link-local one if there is one; never on loopback."""
    assert interfaces.multicast_interfaces(socket.AF_INET) == [Interface(2, "192.0.2.7")]
    assert interfaces.multicast_interfaces(socket.AF_INET6) == [Interface(2, "fe80::7"), Interface(3, "2001:db8:1::7")]


@pytest.mark.usefixtures("machine")
def test_a_server_at_one_address_joins_on_its_interface_only() -> None:
    """However the address is written; the kernel finds the interface of an IPv4 address by itself."""
    assert interfaces.multicast_interfaces(socket.AF_INET, "192.0.2.8") == [Interface(0, "192.0.2.8")]
    assert interfaces.multicast_interfaces(socket.AF_INET6, "2001:DB8:0::7") == [Interface(2, "2001:db8::7")]
    assert interfaces.multicast_interfaces(socket.AF_INET6, "2001:db8::9") == []


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("index", "source", "ours"),
    [(2, "fe80::1", "fe80::7"), (2, "2001:db8::1", "2001:db8::7"), (3, "fe80::1", None), (9, "fe80::1", None)],
)
def test_the_address_of_an_answer_has_the_scope_of_its_source(index: int, source: str, ours: str | None) -> None:
    """A link-local source cannot be reached from a global address by every system, nor the other way round."""
    assert interfaces.address6(index, source) == ours


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_interfaces_of_this_machine_are_those_that_the_kernel_has(family: socket.AddressFamily) -> None:
    """Each has an index that the kernel knows, and an address that a socket can be bound to."""
    for one in interfaces.multicast_interfaces(family):
        assert socket.if_indextoname(one.index)
        scope = (0, one.index) if family == socket.AF_INET6 else ()
        with socket.socket(family, socket.SOCK_DGRAM) as bound:
            bound.bind((one.address, 0, *scope))


def test_local_is_what_is_in_a_network_of_our_interfaces_or_allowed() -> None:
    """T-D2: 203.0.113.0/24 and 2001:db8::/32 are for documents; nobody is on them."""
    networks = LocalNetworks(("198.51.100.0/24",), lambda: 0.0)

    assert [networks.is_local(one) for one in ("127.0.0.1", "::1", "fe80::1", "198.51.100.8")] == [True] * 4
    assert [networks.is_local(one) for one in ("203.0.113.9", "2001:db8::9", "198.51.101.8")] == [False] * 3


@pytest.mark.usefixtures("machine")
def test_the_networks_of_our_ipv6_addresses_are_local() -> None:
    """T-D2: by the prefix of each address."""
    networks = LocalNetworks((), lambda: 0.0)

    assert [networks.is_local(f"2001:db8:{one}") for one in (":1", "1:2::1", "4::1")] == [True, True, False]


def test_a_change_of_the_interfaces_is_seen_after_a_few_seconds(machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-D2: while the server runs."""
    now = [0.0]
    networks = LocalNetworks((), lambda: now[0])
    source = "2001:db8:4::1"
    results = [networks.is_local(source)]
    monkeypatch.setattr(psutil, "net_if_addrs", _with({"eth1": [inet6("2001:db8:4::7")]}))
    results.append(networks.is_local(source))
    now[0] += interfaces.FRESH_SECONDS
    results.append(networks.is_local(source))

    assert results == [False, False, True]


def _with(addresses: dict[str, list[Described]]) -> Callable[[], dict[str, Any]]:
    return lambda: addresses


def test_local_networks_are_read_out_of_the_routing_table() -> None:
    """T-D2: neither what has a gateway nor the default route; nor a route that is down."""
    table = (
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "eth0 00000000 0100A8C0 0003 0 0 0 00000000 0 0 0\n"
        "ppp0 00000000 00000000 0001 0 0 0 00000000 0 0 0\n"
        "eth0 0000A8C0 00000000 0001 0 0 0 0000FFFF 0 0 0\n"
        "eth0 0000000A 0100A8C0 0003 0 0 0 000000FF 0 0 0\n"
        "eth1 000014AC 00000000 0000 0 0 0 0000FFFF 0 0 0\n"
    )

    assert [str(one) for one in interfaces.routes(table)] == ["192.168.0.0/16"]
