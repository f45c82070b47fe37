"""Find scanners by mDNS: what is announced as `_uscan._tcp` and `_uscans._tcp`, each device once.

What is announced is believed by nothing but the name: where certificates matter, `fingerprint` or `first_use` decides.
Source: escl.md section 1; ESCL-002, ESCL-003.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from postscan.plugins.sources.escl.device.scanner import EsclAddress, is_loopback, root_of
from postscan.plugins.sources.escl.errors import DeviceRefused, ScannerAway
from postscan.plugins.sources.escl.messages.capabilities import canonical_uuid

if TYPE_CHECKING:
    import zeroconf

BROWSE_SECONDS: Final = 3.0
"""For how long announcements are collected."""

TYPES: Final = {"_uscan._tcp.local.": "http", "_uscans._tcp.local.": "https"}

_MOST: Final = 64  # announcements that are read
_MOST_REQUESTS: Final = 2  # for the address of one
_RESOLVE_MILLISECONDS: Final = 1000
_TWIN_SECONDS: Final = 0.5  # that the announcement of the same device over HTTPS may come later
_LONGEST: Final = 127  # characters of a name


@dataclass(frozen=True)
class FoundScanner:
    """What a device announces: its address, its UUID or "", the name of the service, make and model, and its place."""

    address: EsclAddress
    uuid: str
    name: str
    model: str = ""
    note: str = ""

    def is_called(self, name: str) -> bool:
        """Return whether people mean this device by a name, a model or a UUID."""
        return name.casefold() in (self.name.casefold(), self.model.casefold()) or canonical_uuid(name) == self.uuid

    def __str__(self) -> str:
        place = f", {self.note}" if self.note else ""
        return f"{self.name} ({self.model or 'of unknown model'}{place}) at {self.address.url}"


def find(name: str, interfaces: Sequence[str] = (), seconds: float = BROWSE_SECONDS) -> FoundScanner:
    """Return the device of this name, or the only one if it is ""; raise `ScannerAway` or `DeviceRefused`.

    *interfaces* are addresses of this machine; empty for all of its networks.
    """
    enough = (lambda found: any(one.is_called(name) for one in found)) if name else (lambda _found: False)
    return choose(browse(interfaces, seconds, enough), name)


def choose(found: list[FoundScanner], name: str) -> FoundScanner:
    """Return the one of this name, or the only one if it is ""; raise `ScannerAway` or `DeviceRefused`."""
    fitting = [one for one in found if one.is_called(name)] if name else found
    names = "; ".join(map(str, found))
    if not fitting:
        raise ScannerAway(f"no scanner {name!r} is announced by mDNS" + (f", only {names}" if names else ""))
    if len(fitting) > 1:
        raise DeviceRefused(f"several scanners are announced by mDNS; set name or device to one of them: {names}")
    return fitting[0]


def browse(
    interfaces: Sequence[str] = (),
    seconds: float = BROWSE_SECONDS,
    enough: Callable[[list[FoundScanner]], bool] = lambda _found: False,
) -> list[FoundScanner]:
    """Return the devices that are announced within *seconds*, by name; earlier if *enough* is true of them.

    Raises `DeviceRefused` if mDNS cannot be used here.
    """
    try:
        import zeroconf
    except ImportError:
        raise DeviceRefused("finding a device needs zeroconf: install postscan[sources], or set device") from None
    try:
        network = zeroconf.Zeroconf(interfaces=list(interfaces) or zeroconf.InterfaceChoice.All)
    except (OSError, RuntimeError) as error:
        raise DeviceRefused(f"mDNS cannot be used on this machine: {error}") from None
    with network:
        until = time.monotonic() + seconds
        announced = _Announced(network, until + seconds)
        browser = zeroconf.ServiceBrowser(network, list(TYPES), handlers=[announced.add])
        try:
            while (left := until - time.monotonic()) > 0 and not enough(announced.scanners(interfaces)):
                announced.wait(left)
            announced.wait(min(_TWIN_SECONDS, seconds))
            return announced.scanners(interfaces)
        finally:
            browser.cancel()


class _Announced:
    """The services that were announced so far; none is asked for its address behind *until*, or more than twice."""

    def __init__(self, network: zeroconf.Zeroconf, until: float) -> None:
        self._network, self._until = network, until
        self._changed = threading.Event()
        self._names: dict[tuple[str, str], int] = {}  # how often each was asked
        self._infos: dict[tuple[str, str], zeroconf.ServiceInfo] = {}

    def add(self, *, name: str, service_type: str, state_change: Any, **_rest: object) -> None:
        """Take an announcement; zeroconf calls this in a thread of its own."""
        if getattr(state_change, "name", "") != "Removed" and len(self._names) < _MOST:
            self._names.setdefault((service_type, name), 0)
            self._changed.set()

    def wait(self, seconds: float) -> None:
        """Wait until another service is announced, or as long as *seconds*."""
        self._changed.wait(seconds)
        self._changed.clear()

    def scanners(self, interfaces: Sequence[str]) -> list[FoundScanner]:
        """Return what is known, each device once, over HTTPS where it has that (ESCL-002)."""
        import zeroconf

        for key, asked in list(self._names.items()):
            if key not in self._infos and asked < _MOST_REQUESTS and time.monotonic() < self._until:
                self._names[key] = asked + 1
                info = zeroconf.ServiceInfo(*key)
                if info.request(self._network, _RESOLVE_MILLISECONDS):
                    self._infos[key] = info
        local = bool(interfaces) and all(is_loopback(one) for one in interfaces)
        found = [_scanner(info, allow_loopback=local) for info in self._infos.values()]
        return _once_each(one for one in found if one is not None)


def _scanner(info: zeroconf.ServiceInfo, *, allow_loopback: bool) -> FoundScanner | None:
    """Return the scanner that a service is; None if it has no address that may be called."""
    texts = {
        name.decode("utf-8", "replace").lower(): (value or b"").decode("utf-8", "replace").strip()[:_LONGEST]
        for name, value in info.properties.items()
    }
    hosts = [one for one in info.parsed_addresses() if may_be_called(one, allow_loopback=allow_loopback)]
    if not hosts or not info.port:
        return None
    host = next((one for one in hosts if ":" not in one), hosts[0])
    authority = f"[{host}]:{info.port}" if ":" in host else f"{host}:{info.port}"
    return FoundScanner(
        address=EsclAddress(TYPES[info.type], authority, root_of(texts.get("rs", "eSCL"))),
        uuid=canonical_uuid(texts.get("uuid", "")),
        name=info.name.removesuffix(f".{info.type}")[:_LONGEST],
        model=texts.get("ty", ""),
        note=texts.get("note", ""),
    )


def _once_each(found: Iterable[FoundScanner]) -> list[FoundScanner]:
    best: dict[str, FoundScanner] = {}
    for one in found:
        key = one.uuid or f"{one.name} {one.address.host}"
        if key not in best or one.address.scheme == "https":
            best[key] = one
    return sorted(best.values(), key=lambda one: one.name)


def may_be_called(host: str, *, allow_loopback: bool) -> bool:
    """Return whether an announced address is one of a device: anything on the link can announce any address."""
    address = ipaddress.ip_address(host.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback:
        return allow_loopback
    return not (address.is_multicast or address.is_unspecified or (address.version == 6 and address.is_link_local))
