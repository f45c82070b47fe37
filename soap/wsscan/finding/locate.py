"""From an address to a scanner: directed Probe, metadata, and the scan service, all at one host.

Every URL that a device names is used with the host that its answer came from, since devices list addresses of
interfaces that cannot be reached, and a forged message could list any.
Source: ws-scan.md section 3; WSS-002 to WSS-005.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from postscan.soap.discovery.messages import DIRECTED_PATH, PROBE, TO_ALL
from postscan.soap.wsscan.client import Answer
from postscan.soap.wsscan.faults import CallError, DeviceAway, DeviceFault, InvalidAnswer
from postscan.soap.wsscan.finding.messages import Announcement, announcements
from postscan.soap.wsscan.finding.metadata import GET, read_metadata
from postscan.soap.xml import namespaces

PORTS: Final = (80, 5357, 5358, 8018)
"""Ports of a configured host that are asked, in this order: those that devices were seen to use."""

PROBE_BODY: Final = (
    f'<wsd:Probe xmlns:wsd="{namespaces.WSD}" xmlns:wsdp="{namespaces.WSDP}"><wsd:Types>wsdp:Device</wsd:Types>'
    "</wsd:Probe>"
)

Call = Callable[[str, str, str, str], Answer]
"""A request to the host of the device: URL, action, body and wsa:To; raises `CallError`."""


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """A scanner: its endpoint, metadata URL and scan service at `host`, its name for people, and its model."""

    endpoint: str
    url: str
    host: str
    service: str
    name: str
    model: str


def at_host(url: str, host: str) -> str:
    """Return a URL with *host* instead of its own; "" for one that is no http URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme != "http" or not parts.hostname or port == 0:
        return ""
    name = f"[{host.partition('%')[0]}]" if ":" in host else host
    return parts._replace(netloc=f"{name}:{port or 80}", fragment="").geturl()


def resolve(host: str) -> str:
    """Return the first address of a host name, which is pinned from then on; raise `DeviceAway`."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise DeviceAway(f"the name {host} has no address: {error}") from None


def at_url(call: Call, url: str, host: str, endpoint: str = "", *, before: str = "") -> FoundDevice:
    """Return the scanner whose metadata is at *url*.

    *endpoint* is the one that has to answer, "" if it is not known. Then *before* is the one that was there before, or
    a directed Probe asks for it, which need not be answered. Raises `CallError`.
    """
    asked = endpoint or before or _probed_endpoint(call, url)
    try:
        metadata = read_metadata(call(url, GET, "", asked or url))
    except DeviceFault:
        if not before or endpoint:
            raise
        return at_url(call, url, host)  # it is another device now
    found = metadata.endpoint or asked
    if endpoint and found != endpoint:
        raise InvalidAnswer(f"another device answers at {host}: {found}, not {endpoint}")
    if not found:
        raise InvalidAnswer(f"the device at {host} has no endpoint in its metadata")
    service = at_host(metadata.service, host)
    if not service:
        raise InvalidAnswer(f"the device at {host} has no scan service: WS-Scan may be switched off in its settings")
    return FoundDevice(found, url, host, service, metadata.name or metadata.model or host, metadata.model)


def at_addresses(call: Call, announcement: Announcement, host: str) -> FoundDevice:
    """Return the scanner of an announcement from *host*, by the first of its addresses that works.

    Raises `CallError` of the last one.
    """
    error: CallError = DeviceAway(f"{announcement.endpoint} at {host} names no address")
    for url in _usable(announcement.xaddrs, host):
        try:
            return at_url(call, url, host, announcement.endpoint)
        except CallError as failed:
            error = failed
    raise error


def by_directed_probe(call: Call, host: str, ports: Sequence[int] = PORTS) -> FoundDevice:
    """Return the scanner at a host that does not answer multicast; raise `CallError`."""
    error: CallError = DeviceAway(f"no device answers a directed Probe at {host}")
    for port in ports:
        try:
            for one in directed_probe(call, at_host(f"http://device:{port}{DIRECTED_PATH}", host)):
                return at_addresses(call, one, host)
        except CallError as failed:
            error = error if type(failed) is DeviceAway else failed
    raise error


def directed_probe(call: Call, url: str) -> list[Announcement]:
    """Send a Probe by HTTP and return the scanners that answer, whatever their order; raise `CallError`."""
    answer = call(url, PROBE, PROBE_BODY, TO_ALL)
    return [one for one in announcements(answer) if one.kind == "match" and one.is_scanner]


def _probed_endpoint(call: Call, url: str) -> str:
    there = urlsplit(url)._replace(path=DIRECTED_PATH, query="").geturl()
    try:
        found = directed_probe(call, there)
    except CallError:
        return ""
    return found[0].endpoint if len(found) == 1 else ""


def _usable(xaddrs: Sequence[str], host: str) -> list[str]:
    """Return the addresses at *host*, each once; first those that name it themselves."""
    own = [one for one in xaddrs if one and at_host(one, host) and urlsplit(one).hostname == host]
    return list(dict.fromkeys(filter(None, (at_host(one, host) for one in (*own, *xaddrs)))))[:4]
