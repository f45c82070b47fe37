"""The check of discovery: whether devices find the server without its address.

A running server gets a Probe, as from a device. For one that does not run, the UDP ports are opened and closed again.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from postscan.core.engine import is_served
from postscan.core.errors import SettingsError
from postscan.doctor.findings import Finding, ok, problem, warning
from postscan.soap.discovery import udp

if TYPE_CHECKING:
    from postscan.core.settings import Settings

WAIT: Final = 2.0
"""Seconds within which a server on this machine answers a Probe."""

SendProbe = Callable[[str, int, float], object]
"""Send a Probe to an address and a UDP port; return the answers within a number of seconds, a falsy value if none."""

_NAME: Final = "discovery"
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (a destination, not to listen on)


def discovery(settings: Settings, probe: SendProbe | None) -> Iterator[Finding]:
    """Check whether devices find the server by UDP, if discovery is on; *probe* sends a Probe, None: none is sent."""
    found, address = settings.discovery, _address(settings.server.host)
    if not settings.is_discoverable:
        yield _off(settings)
    elif is_served(settings.storage.data_dir):
        yield from _running(_ANY.get(address, address), found.directed_port, probe)
    else:
        try:
            with udp.listening(found, address):
                yield ok(_NAME, f"UDP ports {found.directed_port} and {found.port} are free for the server")
        except SettingsError as error:
            fix = f"ss -lunp 'sport = :{found.directed_port} or sport = :{found.port}'  # or discovery.enabled = false"
            yield problem(_NAME, str(error), fix)


def _off(settings: Settings) -> Finding:
    if settings.discovery.enabled is None and settings.tls.on and not settings.server.public_url:
        sentence = "discovery is off: with TLS, devices need an address with the name in the certificate"
        return warning(_NAME, sentence, '[server] public_url = "https://<name in the certificate>:<port>"')
    return ok(_NAME, "is off: devices need the address of the server in their settings")


def _running(address: str, port: int, probe: SendProbe | None) -> Iterator[Finding]:
    if probe is None:
        yield ok(_NAME, f"the running server has UDP port {port}; postscan doctor sends a Probe to it")
    elif not port:
        yield ok(_NAME, "the server has no UDP port of its own to test, since discovery.directed_port is 0")
    elif probe(address, port, WAIT):
        yield ok(_NAME, f"the running server answers a Probe on UDP port {port}")
    else:
        sentence = f"the running server does not answer a Probe on UDP port {port} of {address}"
        yield warning(_NAME, sentence, f"ss -lunp 'sport = :{port}'  # and check the firewall")


def _address(host: str) -> str:
    """Return the address on which the server listens."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return host
