"""One scanner: its address, how its certificate is checked, and what it has said of itself.

Source: escl.md sections 1 and 7; ESCL-001, ESCL-003, ESCL-004, ESCL-010, ESCL-013.
"""

from __future__ import annotations

import ipaddress
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from postscan.plugins.sources.escl.device import quirks
from postscan.plugins.sources.escl.device.quirks import DeviceQuirk
from postscan.plugins.sources.escl.errors import DeviceRefused
from postscan.plugins.sources.escl.http.client import EsclClient, HttpTimes
from postscan.plugins.sources.escl.http.tls import TlsPolicy
from postscan.plugins.sources.escl.messages.capabilities import EsclCapabilities

ROOT: Final = "/eSCL"
"""Path of the resources if nothing else is known."""

FRESH_SECONDS: Final = 600.0
"""For how long capabilities are believed."""

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class EsclAddress:
    """Scheme, host with port, and the path of the resources, without a slash at its end."""

    scheme: str
    authority: str
    root: str

    @property
    def origin(self) -> str:
        """Scheme and authority, as in a URL."""
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{self.origin}{self.root}"

    @property
    def host(self) -> str:
        """The host alone, an IPv6 address without its brackets."""
        return urlsplit(self.origin).hostname or ""

    @property
    def port(self) -> int:
        """The port, also if it is that of the scheme."""
        return urlsplit(self.origin).port or _PORTS[self.scheme]


def address(text: str) -> EsclAddress:
    """Return the address in a base URL, or of a host with or without a port; raise `ValueError`.

    A URL without a path, and a host, have the usual one; a URL whose path is a slash has its resources there.
    """
    whole = text if "://" in text else f"http://{text}"
    parts = urlsplit(whole)
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError(f"{text!r}; expected a host, or a base URL such as http://10.0.0.9/eSCL")
    if any(one <= " " or one in '\\"<>' for one in whole):
        raise ValueError(f"{text!r}; a URL has no such characters")
    _ = parts.port  # raises ValueError
    return EsclAddress(parts.scheme, parts.netloc.lower(), parts.path.rstrip("/") if parts.path else ROOT)


def root_of(text: str) -> str:
    """Return the path of the `rs` of mDNS, which may be bare, empty, or have slashes (ESCL-003)."""
    bare = text.strip("/ ")
    return f"/{bare}" if bare else ""


@dataclass
class EsclScanner:
    """A scanner, for several threads. `uuid` is what mDNS or the settings say; the capabilities have the better one.

    `named_quirks` are rows of the settings. `authorization` goes to this address over HTTPS alone. `report` receives
    sentences for the log.
    """

    address: EsclAddress
    tls: TlsPolicy = field(default_factory=TlsPolicy)
    times: HttpTimes = field(default_factory=HttpTimes)
    uuid: str = ""
    named_quirks: Iterable[str] = ()
    authorization: str = ""
    report: Callable[[str], None] = lambda _sentence: None
    capabilities: EsclCapabilities | None = None
    server: str = ""
    """The Server field of its last response."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = 0.0

    @property
    def id(self) -> str:
        """The name of the device for ever: its UUID, else its base URL (ESCL-004)."""
        return self._uuid or self.address.url

    @property
    def model(self) -> str:
        """Make and model; "" until the capabilities were read."""
        return self.capabilities.model if self.capabilities is not None else ""

    @property
    def subject(self) -> str:
        """Who is proven by a scan: the device, by its UUID, if it has one, and the host at which it answered.

        So `devices` of the inlet may list either of them.
        """
        return f"{self._uuid} at {self.address.host}" if _UUID.fullmatch(self._uuid) else self.address.host

    @property
    def _uuid(self) -> str:
        stated = self.capabilities.uuid if self.capabilities is not None else ""
        return stated or self.uuid

    @property
    def quirks(self) -> frozenset[DeviceQuirk]:
        """What it does otherwise than others."""
        return quirks.of(self.model, self.server, self.named_quirks)

    @property
    def is_fresh(self) -> bool:
        """Whether its capabilities are known and new enough."""
        return self.capabilities is not None and time.monotonic() < self._read_at + FRESH_SECONDS

    def learn(self, capabilities: EsclCapabilities) -> None:
        """Keep capabilities that were read now."""
        with self._lock:
            self.capabilities, self._read_at = capabilities, time.monotonic()

    def forget(self) -> None:
        """Read the capabilities again before the next scan: the device may be another one."""
        with self._lock:
            self._read_at = 0.0

    def client(self) -> EsclClient:
        """Return a connection of its own. Raises `DeviceRefused` for a file of CAs that cannot be used."""
        return EsclClient(self.address.origin, self.tls, self.times, host=self.host, authorization=self.authorization)

    def redirected(self, location: str) -> None:
        """Follow a redirect of the capabilities; raise `DeviceRefused` for another host, and from HTTPS to HTTP."""
        try:
            found = urlsplit(location)
            scheme, host, port = found.scheme, found.hostname or "", found.port
        except ValueError:
            scheme = host = ""
            port = None
        if host != self.address.host.lower() or (scheme != "https" and scheme != self.address.scheme):
            raise DeviceRefused(f"the device redirects to {location[:120]!r}, which is not followed")
        name = f"[{host}]" if ":" in host else host
        root = found.path.removesuffix("/ScannerCapabilities").rstrip("/")
        new = EsclAddress(scheme, f"{name}:{port}" if port else name, root)
        if new == self.address:
            raise DeviceRefused("the device redirects to the same address")
        self.address = new

    @property
    def host(self) -> str:
        """The Host field, "" for the usual one (ESCL-010)."""
        if is_loopback(self.address.host):
            return ""
        if DeviceQuirk.HOST_LOCALHOST in self.quirks:
            return "localhost"
        if DeviceQuirk.HOST_WITH_PORT in self.quirks:
            name = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
            return f"{name}:{self.address.port}"
        return ""


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by an address or as localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
