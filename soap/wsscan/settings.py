"""`[sources.<name>]` with `plugin = "wsscan"`."""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from postscan.plugins import setting
from postscan.soap.wsscan.scan_job.quirks import NAMES

_UUID: Final = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?")


@dataclass(frozen=True)
class WsScanSettings:
    """Which scanner it is, and where the events of the scanner arrive."""

    device: str = setting(
        "",
        help="the scanner: its URL (http://...), its host name or address, or its endpoint (urn:uuid:...); "
        "empty: each that is found on the network and that 'devices' has",
    )
    host: str = setting(
        "", help="address at which events of scanners arrive; empty: the one of this machine towards the scanner"
    )
    port: int = setting(0, help="port at which events arrive; 0: any that is free, and the same one after a restart")
    event_answer: Literal["empty", "soap"] = setting(
        "empty", help="answer to an event: empty, 202 without a body; soap, 200 with an empty SOAP body"
    )
    job_events: bool = setting(
        True, help="subscribe to the events of the scanner's jobs as well, which report a cancel at the panel"
    )
    quirks: tuple[str, ...] = setting((), help="names of quirks of the scanner, beside those known by its model")
    subscription_seconds: float = setting(3600.0, help="lifetime that a subscription asks for, in seconds")
    most_devices: int = setting(32, help="most scanners that are taken when 'device' is empty")
    discovery_port: int = setting(3702, help="UDP port of WS-Discovery")

    def __post_init__(self) -> None:
        """Raise `ValueError` for a value that cannot be used."""
        self._check_device()
        if self.host:
            try:
                ipaddress.ip_address(self.host)
            except ValueError:
                raise ValueError(f"host: {self.host!r}; expected an address of this machine") from None
        for name, least in (("port", 0), ("discovery_port", 1)):
            if not least <= getattr(self, name) < 1 << 16:
                raise ValueError(f"{name}: {getattr(self, name)}; expected {least} to 65535")
        if self.event_answer not in ("empty", "soap"):
            raise ValueError(f"event_answer: {self.event_answer!r}; expected empty or soap")
        if not 4.0 <= self.subscription_seconds < math.inf:
            raise ValueError(f"subscription_seconds: {self.subscription_seconds}; expected at least 4")
        if not 0 < self.most_devices <= 256:
            raise ValueError(f"most_devices: {self.most_devices}; expected 1 to 256")
        if not set(self.quirks) <= NAMES:
            raise ValueError(f"quirks: {self.quirks!r}; expected a list of {', '.join(sorted(NAMES))}")

    @property
    def kind(self) -> Literal["any", "endpoint", "url", "host"]:
        """What `device` is."""
        if not self.device:
            return "any"
        if self.device.lower().startswith("urn:"):
            return "endpoint"
        return "url" if "://" in self.device else "host"

    @property
    def address(self) -> str:
        """The host name or address in `device`; "" if it names none."""
        if self.kind == "url":
            return urlsplit(self.device).hostname or ""
        return self.device if self.kind == "host" else ""

    def _check_device(self) -> None:
        if self.kind == "endpoint" and not _UUID.fullmatch(self.device):
            raise ValueError(f"device: {self.device!r}; expected urn:uuid: and a UUID")
        if self.kind == "url":
            try:
                parts = urlsplit(self.device)
                usable = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0 and not parts.username
            except ValueError:
                usable = False
            if not usable:
                raise ValueError(f"device: {self.device!r}; expected a URL such as http://10.0.0.9:8018/wsd")
        if self.kind == "host" and not _is_host(self.device):
            raise ValueError(f"device: {self.device!r}; expected a URL, a host name, an address, or urn:uuid:...")


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _NAME.fullmatch(text) is not None
    return True
