"""Is the server found by devices that nobody has told its address: the check of discovery, for `postscan doctor`.

A running server is asked as a device would ask it; for one that does not run, the ports are tried and given back.
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
"""Seconds in which a server on this machine should answer."""

SendProbe = Callable[[str, int, float], object]
"""Send a Probe to an address and a UDP port; return the answers that came within so many seconds, falsy if none."""

_NAME: Final = "discovery"
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (to ask, not to listen on)


def discovery(settings: Settings, probe: SendProbe) -> Iterator[Finding]:
    """Check whether devices find the server by UDP, if they should; *probe* asks as a device does."""
    found, address = settings.discovery, _address(settings.server.host)
    if not settings.is_discoverable:
        yield _why_not(settings)
    elif is_served(settings.storage.data_dir):
        yield from _asked(_ANY.get(address, address), found.directed_port, probe)
    else:
        try:
            with udp.listening(found, address):
                yield ok(_NAME, f"UDP ports {found.directed_port} and {found.port} are there for the server")
        except SettingsError as error:
            fix = f"ss -lunp 'sport = :{found.directed_port} or sport = :{found.port}'  # or discovery.enabled = false"
            yield problem(_NAME, str(error), fix)


def _why_not(settings: Settings) -> Finding:
    if settings.discovery.enabled is None and settings.tls.on and not settings.server.public_url:
        sentence = "devices do not find the server by its name, for under TLS they need the name in the certificate"
        return warning(_NAME, sentence, '[server] public_url = "https://<name in the certificate>:<port>"')
    return ok(_NAME, "is off: devices find the server where somebody has typed in its address")


def _asked(address: str, port: int, probe: SendProbe) -> Iterator[Finding]:
    if not port:
        yield ok(_NAME, "nobody can ask this very server by UDP, as discovery.directed_port = 0 says")
    elif probe(address, port, WAIT):
        yield ok(_NAME, f"the running server answers a Probe on UDP port {port}")
    else:
        sentence = f"nobody answers a Probe on UDP port {port} of {address}, though the server runs"
        yield warning(_NAME, sentence, f"ss -lunp 'sport = :{port}'  # and look at the firewall")


def _address(host: str) -> str:
    """Return the address that the server would listen on."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return host
