"""Which scanners an inlet takes: those that `device` names, or that `devices` has. Source: ws-scan.md section 11."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator
from typing import Final

from postscan.plugins import SourceContext
from postscan.soap.wsscan.settings import WsScanSettings

NO_DEVICES: Final = "neither 'device' names a scanner nor 'devices' the networks or UUIDs of those that may be taken"

_PREFIX: Final = "urn:uuid:"


def is_limited(inlet: SourceContext) -> bool:
    """Return whether the settings say which scanners may be taken."""
    settings: WsScanSettings = inlet.settings
    return settings.kind != "any" or bool(inlet.started.devices)


def is_admitted(inlet: SourceContext, endpoint: str, address: str) -> bool:
    """Return whether `devices` has the address or the UUID of a scanner; all that `device` names, if it is empty."""
    devices = inlet.started.devices
    if not devices:
        settings: WsScanSettings = inlet.settings
        return settings.kind != "any"
    identifier = endpoint.removeprefix(_PREFIX)
    return inlet.is_device(address) or any(one.lower().removeprefix(_PREFIX) == identifier for one in devices)


def networks(inlet: SourceContext) -> Iterator[str]:
    """Yield the networks of `devices`, from which datagrams are read although they are not local."""
    for one in inlet.started.devices:
        with contextlib.suppress(ValueError):
            yield str(ipaddress.ip_network(one, strict=False))
