"""The settings of the source eSCL."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from postscan.plugins import SourceContext, setting
from postscan.plugins.sources.escl.device import scanner
from postscan.plugins.sources.escl.device.quirks import DeviceQuirk
from postscan.plugins.sources.escl.device.scanner import EsclAddress, EsclScanner
from postscan.plugins.sources.escl.http.client import HttpTimes
from postscan.plugins.sources.escl.http.tls import TlsPolicy, canonical_fingerprint
from postscan.plugins.sources.escl.pages import PageLimits
from postscan.plugins.sources.escl.ticket import ScanChoice

PINNED: Final = "certificate.sha256"
"""File in the folder of the inlet with the fingerprint of the first connection."""

_COLORS: Final = ("", "BlackAndWhite1", "Grayscale8", "Grayscale16", "RGB24", "RGB48")


@dataclass(frozen=True)
class Settings:
    """`[sources.<name>]` with `plugin = "escl"`: which device, what its scans are like, and how far it is trusted."""

    device: str = setting("", help="base URL of the device, such as https://10.0.0.9/eSCL, or its host; empty: by mDNS")
    name: str = setting(
        "", help="name, model or UUID of the device that is taken by mDNS; empty: the only one there is"
    )
    interfaces: tuple[str, ...] = setting((), help="addresses of this machine on which mDNS asks; empty: all")
    source: Literal["auto", "platen", "feeder", "duplex"] = setting(
        "auto", help="input of the device; auto: that of the destination, else the feeder if paper is in it"
    )
    color: str = setting("", help="color mode, such as RGB24 or Grayscale8; empty: that of the destination")
    resolution: int = setting(0, help="dots per inch; 0: that of the destination, else 300")
    fingerprint: str = setting("", help="SHA-256 of the certificate of the device, in hexadecimal digits")
    ca_file: str = setting("", help="file of CA certificates (PEM) for the device; empty: those of the system")
    first_use: bool = setting(False, help="take the certificate of the first connection, and no other from then on")
    verify: bool = setting(True, help="check the certificate; false: take any, on which no one should rely")
    user: str = setting("", help="name for the device, which is sent over HTTPS alone")
    password: str = setting("", help="password for the device", secret=True)
    connect_seconds: float = setting(5.0, help="most seconds until a connection is made")
    answer_seconds: float = setting(30.0, help="most seconds of an answer that is no page")
    silence_seconds: float = setting(60.0, help="most seconds without a byte of a page; at most 60")
    status_seconds: float = setting(60.0, help="seconds between two looks at the state of the device")
    interval: float = setting(
        0.0, help="seconds between two looks at the feeder, whose paper is then scanned by itself; 0: never"
    )
    most_pages: int = setting(1000, help="most pages of one scan")
    most_bytes: int = setting(2 << 30, help="most bytes of one page")
    quirks: tuple[str, ...] = setting((), help="deviations of the device that its name does not tell")

    def __post_init__(self) -> None:
        """Raise `ValueError` for a value that cannot be used."""
        if self.device:
            _ = self.address
        if self.source not in ("auto", "platen", "feeder", "duplex"):
            raise ValueError(f"source: {self.source!r}; expected auto, platen, feeder or duplex")
        if self.color not in _COLORS:
            raise ValueError(f"color: {self.color!r}; expected one of {', '.join(_COLORS[1:])}")
        for name in ("connect_seconds", "answer_seconds", "silence_seconds", "status_seconds", "most_pages",
                     "most_bytes", "interval", "resolution"):  # fmt: skip
            self._check_number(name, may_be_0=name in ("interval", "resolution"))
        if self.silence_seconds > 60:
            raise ValueError(f"silence_seconds: {self.silence_seconds}; expected 60 or less")
        self._check_trust()
        for quirk in self.quirks:
            if quirk not in tuple(DeviceQuirk):
                raise ValueError(f"quirks: {quirk!r}; expected some of {', '.join(DeviceQuirk)}")

    @property
    def address(self) -> EsclAddress:
        """The address that is configured. Raises `ValueError`."""
        return scanner.address(self.device)

    @property
    def choice(self) -> ScanChoice:
        """What is chosen for all scans."""
        return ScanChoice(self.source, self.color, self.resolution)

    @property
    def limits(self) -> PageLimits:
        """The most pages and bytes."""
        return PageLimits(self.most_pages, self.most_bytes)

    def scanner(self, inlet: SourceContext, found: EsclAddress, uuid: str = "") -> EsclScanner:
        """Return the scanner at an address: the configured one, or one that mDNS has found."""

        def pinned(fingerprint: str) -> None:
            inlet.log("certificate of the device pinned", address=found.origin, fingerprint=fingerprint)

        first_use = Path(inlet.folder) / PINNED if self.first_use else None
        secret = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return EsclScanner(
            found,
            TlsPolicy(self.fingerprint, self.ca_file, first_use, self.verify, pinned),
            HttpTimes(self.connect_seconds, self.answer_seconds, self.silence_seconds),
            uuid=uuid,
            named_quirks=self.quirks,
            # To a host of the settings alone: anything on the link can answer by mDNS.
            authorization=f"Basic {secret}" if self.user and self.device else "",
            report=lambda sentence: inlet.log(sentence, "warning"),
        )

    def _check_number(self, name: str, *, may_be_0: bool) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not (0 < value < math.inf or (value == 0 and may_be_0)):
            raise ValueError(f"{name}: {value!r}; expected a number {'of 0 or more' if may_be_0 else 'above 0'}")

    def _check_trust(self) -> None:
        if self.fingerprint:
            try:
                canonical_fingerprint(self.fingerprint)
            except ValueError as error:
                raise ValueError(f"fingerprint: {error}") from None
        if self.ca_file and not Path(self.ca_file).is_absolute():
            raise ValueError(f"ca_file: {self.ca_file!r} is not an absolute path")
        given = [name for name in ("fingerprint", "ca_file", "first_use") if getattr(self, name)]
        given += [] if self.verify else ["verify = false"]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)}: expected one of them")
        if self.user and not self.device.startswith("https://"):
            raise ValueError("user: needs a device with an https address, since it is not sent in clear")
