"""What the administrator configures: `[sources.<name>]` with `plugin = "ftp"`."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from postscan.plugins import setting

MOST_BYTES: Final = 2 << 30

_RANGE: Final = re.compile(r"([0-9]{4,5})-([0-9]{4,5})")
_KINDS: Final[Mapping[Any, tuple[Callable[[Any], bool], str]]] = {
    str: (lambda value: isinstance(value, str), "a text"),
    int: (lambda value: type(value) is int, "a whole number"),
    float: (lambda value: type(value) in (int, float), "a number"),
    bool: (lambda value: type(value) is bool, "true or false"),
    tuple[str, ...]: (
        lambda value: isinstance(value, list | tuple) and all(isinstance(one, str) and one for one in value),
        "a list of patterns such as *.tmp",
    ),
}
_BOUNDS: Final = {
    "port": (0, 65_535),
    "implicit_port": (0, 65_535),
    "most_bytes": (1, 2**40),
    "spool_bytes": (2, 2**41),
    "connections": (1, 10_000),
    "connections_per_address": (1, 10_000),
    "least_rate": (1, 2**30),
    "idle_seconds": (0.1, 86_400),
    "login_seconds": (0.1, 86_400),
    "data_seconds": (0.1, 86_400),
    "transfer_seconds": (0.1, 86_400),
}


@dataclass(frozen=True)
class Settings:
    """Where devices upload, with or without TLS, and what they may take of this machine."""

    host: str = setting("127.0.0.1", help="the address that devices connect to; the default is this machine")
    port: int = setting(2121, help="the port; with a certificate, clients may start TLS there. 0: none")
    implicit_port: int = setting(0, help="a port on which TLS is spoken from the first byte. 0: none")
    certificate: str = setting("", help="a PEM file with the certificate of the server, and its key")
    key: str = setting("", help="a PEM file with the key, if it is not in that of the certificate")
    passive_ports: str = setting("", help="the ports for data, `60000-60100`, open in the firewall. '': any")
    masquerade: str = setting("", help="the IPv4 address that devices see, if it is not that of this machine")
    most_bytes: int = setting(MOST_BYTES, help="most bytes of a file")
    spool_bytes: int = setting(
        8 << 30, help="most bytes of all files that come, or wait for a rename; one sender has half"
    )
    connections: int = setting(50, help="most sessions in all")
    connections_per_address: int = setting(8, help="most sessions of one address")
    idle_seconds: float = setting(300.0, help="seconds without a command, after which a session ends")
    login_seconds: float = setting(60.0, help="seconds within which a client has to log in")
    data_seconds: float = setting(120.0, help="seconds in which `least_rate` is measured")
    least_rate: int = setting(1024, help="bytes a second that an upload has at least")
    transfer_seconds: float = setting(3600.0, help="seconds that an upload takes at most")
    temporary_names: tuple[str, ...] = setting(
        ("*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.upload", "*.lftp", ".in.*", "~*", "*~"),
        help="names of files that the device renames when they are whole",
    )
    ignored_names: tuple[str, ...] = setting(
        (), help="names of files that are taken and thrown away: locks, logs and tests of devices"
    )
    unclean_tls_end: bool = setting(
        default=False, help="accept files whose TLS connection ends without close_notify, if they are whole by content"
    )

    def __post_init__(self) -> None:
        """Raise `ValueError` for the first invalid setting."""
        for refusal in chain(self._wrong_kinds(), self._wrong_values()):
            raise ValueError(refusal)

    def _wrong_kinds(self) -> Iterator[str]:
        for name, hint in typing.get_type_hints(Settings).items():
            is_one, expected = _KINDS[hint]
            if not is_one(getattr(self, name)):
                yield f"{name}: expected {expected}"

    def _wrong_values(self) -> Iterator[str]:
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                yield f"{name}: {getattr(self, name):,} is out of bounds; expected {least:,} to {most:,}"
        if self.spool_bytes < 2 * self.most_bytes:
            yield f"spool_bytes: {self.spool_bytes:,} is less than two files; expected {2 * self.most_bytes:,} or more"
        if not _is_address(self.host):
            yield f"host: {self.host!r} is not an address; expected 127.0.0.1, or 0.0.0.0 for all of this machine"
        if not self.port and not self.implicit_port:
            yield "port and implicit_port are 0; expected one of them"
        if self.implicit_port and not self.certificate:
            yield "implicit_port: there is no certificate; expected one for TLS"
        if self.key and not self.certificate:
            yield "key: there is no certificate; expected both or none"
        for name in ("certificate", "key"):
            path = getattr(self, name)
            if path and not (Path(path).is_absolute() and Path(path).is_file()):
                yield f"{name}: {path!r} is not a file; expected an absolute path of one"
        if self.masquerade and not _is_address(self.masquerade, 4):
            yield f"masquerade: {self.masquerade!r} is not an IPv4 address; PASV has no other"
        if self.data_ports() == range(0):
            yield f"passive_ports: {self.passive_ports!r} is no range; expected one such as 60000-60100, above 1023"

    def data_ports(self) -> range | None:
        """Return the ports for passive connections; None for any, and none if the setting is invalid."""
        if not self.passive_ports:
            return None
        found = _RANGE.fullmatch(self.passive_ports.strip())
        if found is None or not 1023 < int(found[1]) <= int(found[2]) <= 65_535:
            return range(0)
        return range(int(found[1]), int(found[2]) + 1)

    def pem(self) -> tuple[Path, Path | None]:
        """Return the files of certificate and key."""
        return Path(self.certificate), Path(self.key) if self.key else None

    def is_temporary(self, name: str) -> bool:
        """Return whether a file of this name waits for its rename."""
        return _matches(name, self.temporary_names)

    def is_ignored(self, name: str) -> bool:
        """Return whether a file of this name is thrown away."""
        return _matches(name, self.ignored_names)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.casefold(), one.casefold()) for one in patterns)


def _is_address(text: str, version: int | None = None) -> bool:
    try:
        return version in (None, ipaddress.ip_address(text).version)
    except ValueError:
        return False
