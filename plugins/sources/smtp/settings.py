"""`[sources.<name>]` of a source `smtp`, beyond the keys that all sources have.

Invalid settings are refused when the server starts.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal

from postscan.plugins import setting

MIB: Final = 1 << 20

TLS: Final = ("none", "starttls", "implicit")
_BOUNDS: Final = {
    "port": (0, 65535),
    "most_bytes": (64 * 1024, 2048 * MIB),
    "spool_bytes": (64 * 1024, 1 << 40),
    "inline_bytes": (0, 512 * MIB),
    "most_recipients": (1, 100),
    "connections": (1, 200),  # each may have two of the descriptors of the process
    "connections_per_address": (1, 200),
    "idle_seconds": (0.1, 3600),
    "data_seconds": (0.1, 86_400),
}
_NAME = re.compile(r"[A-Za-z0-9.-]{1,255}|\[[A-Za-z0-9.:]{1,255}\]")
_DOMAIN = re.compile(r"[^\s@<>]{1,255}")
_KINDS: Final[Mapping[Any, tuple[type | tuple[type, ...], str]]] = {
    str: (str, "a text"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    bool: (bool, "true or false"),
}


@dataclass(frozen=True)
class Settings:
    """Where mails are received, from whom, and how large they may be."""

    host: str = setting("127.0.0.1", help="the address to listen at; 0.0.0.0 or :: for all of the machine")
    port: int = setting(2525, help="the port to listen at; 0 takes a free one, which the state of the inlet names")
    greeting_name: str = setting("postscan", help="the name of this server in its greeting")
    tls: Literal["none", "starttls", "implicit"] = setting("none", help="how the connection can be encrypted")
    certificate: str = setting("", help="PEM file with the certificate for TLS, those above it, and its key")
    key: str = setting("", help="PEM file with the key, if the certificate's file has none")
    require_tls: bool = setting(False, help="whether no mail is taken without TLS; for starttls")
    domains: tuple[str, ...] = setting((), help="what may stand behind the @ of a recipient; none named: anything")
    recipients: Mapping[str, str] = setting({}, help="addresses, or what stands before their @, and their destinations")
    most_recipients: int = setting(20, help="most recipients of a mail; each becomes a job")
    most_bytes: int = setting(64 * MIB, help="most bytes of a mail; its attachments take a third more than as files")
    spool_bytes: int = setting(1024 * MIB, help="most bytes of all mails and attachments while they are received")
    ignored_names: tuple[str, ...] = setting(
        ("*.p7s", "*.asc", "*.vcf", "*.ics"), help="patterns for names of attachments that are no pages, and left out"
    )
    inline_bytes: int = setting(
        100 * 1024, help="most bytes of a picture in the text of a mail that is left out, such as a logo"
    )
    connections: int = setting(50, help="most connections at a time")
    connections_per_address: int = setting(10, help="most of them from one address")
    idle_seconds: float = setting(300.0, help="longest pause before a command, and within a mail")
    data_seconds: float = setting(1800.0, help="longest time for the bytes of one mail")

    def __post_init__(self) -> None:
        """Raise `ValueError` for the first invalid setting."""
        for refusal in chain(self._wrong_kinds(), self._wrong_values()):
            raise ValueError(refusal)

    def _wrong_kinds(self) -> Iterator[str]:
        for name, hint in typing.get_type_hints(Settings).items():
            value = getattr(self, name)
            kind, expected = _KINDS.get(hint, (object, ""))
            if not isinstance(value, kind) or (isinstance(value, bool) and hint in (int, float)):
                yield f"{name}: expected {expected}"
        for name in ("domains", "ignored_names"):
            value = getattr(self, name)
            if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
                yield f"{name}: expected a list of texts"
        pairs: object = self.recipients
        if not isinstance(pairs, dict) or not all(isinstance(one, str) for one in chain.from_iterable(pairs.items())):
            yield "recipients: expected a table of recipients, each with the id or the label of a destination"

    def _wrong_values(self) -> Iterator[str]:
        if self.tls not in TLS:
            yield f"tls: {self.tls!r} is unknown; expected {', '.join(TLS)}"
        if not self.host:
            yield "host: expected an address of this machine"
        if not _NAME.fullmatch(self.greeting_name):
            yield f"greeting_name: {self.greeting_name!r} is not a host name"
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                yield f"{name}: {getattr(self, name)} is out of bounds; expected {least:,} to {most:,}"
        if self.spool_bytes < 4 * self.most_bytes:  # one client has half: a mail, and its files
            yield f"spool_bytes: {self.spool_bytes:,} is too little; expected at least four times most_bytes"
        for domain in self.domains:
            if not _DOMAIN.fullmatch(domain):
                yield f"domains: {domain!r} is no domain; expected what stands behind the @"
        yield from self._wrong_tls()

    def _wrong_tls(self) -> Iterator[str]:
        if (self.tls == "none") != (not self.certificate):
            yield 'tls and certificate: expected both or none; tls = "starttls" or "implicit" needs a certificate'
        if self.key and not self.certificate:
            yield "key: without a certificate there is nothing that it belongs to"
        if self.require_tls and self.tls == "none":
            yield 'require_tls: expected tls = "starttls" or "implicit" and a certificate'
        for name in ("certificate", "key"):
            path = getattr(self, name)
            if path and not (Path(path).is_absolute() and Path(path).is_file()):
                yield f"{name}: {path!r} is not a file; expected an absolute path of one"
