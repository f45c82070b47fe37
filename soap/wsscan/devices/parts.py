"""What the scanners of an inlet share."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from postscan.plugins import CancellationToken, SourceContext
from postscan.soap.wsscan.devices.health import InletHealth
from postscan.soap.wsscan.event_sink import EventSink, SinkUnavailable
from postscan.soap.wsscan.faults import DeviceAway
from postscan.soap.wsscan.settings import WsScanSettings
from postscan.soap.wsscan.subscriptions.store import RecordStore


@dataclass(frozen=True)
class InletParts:
    """The inlet, its settings, the event sink, the records, and the health.

    `calls` is the token of requests, not that of the inlet, since Unsubscribe is sent after the stop. `probe` sends a
    Probe to one host.
    """

    inlet: SourceContext
    settings: WsScanSettings
    sink: EventSink
    store: RecordStore
    health: InletHealth
    calls: CancellationToken
    probe: Callable[[str], None]

    def event_origin(self, host: str, port: int = 0) -> str:
        """Listen where the device *host* can send events to, and return scheme, host and port.

        With *port*, at this port alone. Raises `SinkUnavailable`, and `DeviceAway` if there is no way to the device.
        """
        address = self.settings.host
        bound = address
        if not address or ipaddress.ip_address(address).is_unspecified:
            address = local_address(host)
            bound = bound or address
        wanted = self.settings.port or port
        if port and port != wanted:
            raise SinkUnavailable(f"the settings say port {wanted}, not {port}")
        number = self.sink.listen(bound, wanted)
        return f"http://[{address}]:{number}" if ":" in address else f"http://{address}:{number}"


def local_address(host: str) -> str:
    """Return the address of this machine on the way to *host*; raise `DeviceAway` if there is none."""
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as way:
            way.connect(address)  # UDP: nothing is sent
            return str(way.getsockname()[0]).partition("%")[0]
    except OSError as error:
        raise DeviceAway(f"there is no way to {host}: {error.strerror or error}") from None


def same_address(one: str, other: str) -> bool:
    """Return whether two texts are one IP address, whatever its form."""
    try:
        return _plain(one) == _plain(other)
    except ValueError:
        return one == other


def _plain(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def now() -> float:
    """Return seconds since 1970, for what is stored."""
    return time.time()
