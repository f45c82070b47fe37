"""`[filters.email]`: the mail server, and the sender, subject and text of a mail.

Invalid settings are refused when the server starts. Without `host` and `sender` the plugin loads nevertheless, since it
is always installed; the filter fails then.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal

from postscan.plugins import FilterFailed, FilterReason, setting
from postscan.plugins.filters.email.address import EXPECTED, is_address, is_domain

KEY: Final = "filters.email"
PORTS: Final = {"none": 25, "starttls": 587, "implicit": 465}
FIELDS: Final = ("process", "user", "date")
SMALLEST: Final = 64 * 1024  # bytes of a message: some room beside its headers

_FIELD = re.compile(r"\{([^{}]*)\}")
_HOST = re.compile(r"[A-Za-z0-9._-]+|(?=.*:.*:)[0-9A-Fa-f:.]+")
_NAME = re.compile(r"[A-Za-z0-9.-]+|\[[A-Za-z0-9.:]+\]")
_NUMBERS: Final = {"port": (0, 65535), "most_bytes": (SMALLEST, 2**40), "seconds": (0.1, 3600), "tries": (1, 10)}
_KINDS: Final[Mapping[Any, tuple[type | tuple[type, ...], str]]] = {
    str: (str, "a text"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
}


@dataclass(frozen=True, repr=False)  # no repr: a password is in it
class Settings:
    """`[filters.email]`: the mail server, and the form of a mail."""

    host: str = setting("", help="name or address of the mail server; without it nothing can be sent")
    port: int = setting(0, help="its port; 0 stands for 25, with STARTTLS for 587, with implicit TLS for 465")
    tls: Literal["none", "starttls", "implicit"] = setting("none", help="how the connection is encrypted")
    ca_file: str = setting("", help="PEM file of the CAs accepted for the server; default: those of the system")
    user: str = setting("", help="the name to log in with; needs TLS")
    password: str = setting("", help="the password of that user", secret=True)
    password_file: str = setting("", help="a file with the password in its first line")
    sender: str = setting("", help="the sender of mails; without it nothing can be sent")
    subject: str = setting("{process}, {date}", help="the subject; may name {process}, {user} and {date}")
    text: str = setting("The documents of {user} are attached.", help="the text of a mail, with the same fields")
    most_bytes: int = setting(20 * 1024 * 1024, help="most bytes of a message; attachments count a third more")
    allowed_domains: tuple[str, ...] = setting((), help="the domains that mails may go to; none named: all")
    seconds: float = setting(30.0, help="longest time for a reply; for the one to the message four times that")
    tries: int = setting(4, help="most attempts of a message while the server is away or refuses temporarily")
    ehlo_name: str = setting("localhost", help="the name of this server in EHLO")

    def __post_init__(self) -> None:
        """Raise `ValueError` for the first invalid setting."""
        for refusal in chain(self._wrong_kinds(), self._wrong_values()):
            raise ValueError(refusal)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the mail server."""
        return self.host, self.port or PORTS[self.tls]

    @property
    def domains(self) -> frozenset[str]:
        """The allowed domains in lower case; empty if all are."""
        return frozenset(domain.lower() for domain in self.allowed_domains)

    @property
    def missing(self) -> str:
        """The message for the first required setting that is missing; empty if none is."""
        if not self.host:
            return f"{KEY}.host is not set; expected the name of a mail server"
        return "" if self.sender else f"{KEY}.sender is not set; expected the address that mails come from"

    def secret(self) -> str:
        """Return the password; raise `FilterFailed` if its file has none."""
        if not self.password_file:
            return self.password
        try:
            lines = Path(self.password_file).read_text("utf-8").splitlines()
        except (OSError, ValueError) as error:
            problem = error.strerror if isinstance(error, OSError) else "it is not text"
            raise FilterFailed(FilterReason.INVALID_SMTP_SERVER, f"{KEY}.password_file: {problem}") from None
        if not lines or not lines[0] or not lines[0].isascii():
            expected = "expected a password in ASCII in its first line"
            raise FilterFailed(FilterReason.INVALID_SMTP_SERVER, f"{KEY}.password_file: {expected}")
        return lines[0]

    def filled(self, template: str, **fields: str) -> str:
        """Return *template* with the fields filled in; braces in a value are not replaced again."""
        return _FIELD.sub(lambda found: fields[found[1]], template)

    def _wrong_kinds(self) -> Iterator[str]:
        for name, hint in typing.get_type_hints(Settings).items():
            value = getattr(self, name)
            kind, expected = _KINDS.get(hint, (object, ""))
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not object):
                yield f"{name}: expected {expected}"
        if self.tls not in PORTS:
            yield f"tls: {self.tls!r} is unknown; expected {', '.join(PORTS)}"
        domains = self.allowed_domains
        if not isinstance(domains, list | tuple) or not all(isinstance(one, str) and is_domain(one) for one in domains):
            yield "allowed_domains: expected a list of domains such as fabrikam.example"

    def _wrong_values(self) -> Iterator[str]:
        if self.host and not _HOST.fullmatch(self.host):
            yield f"host: {self.host!r} is not a host; expected a name or an address, without a port"
        if self.sender and not is_address(self.sender):
            yield f"sender: {self.sender!r} is not an address; expected {EXPECTED}"
        if not _NAME.fullmatch(self.ehlo_name):
            yield f"ehlo_name: {self.ehlo_name!r} is not a name; expected a host name, or an address in brackets"
        for name, (least, most) in _NUMBERS.items():
            if not least <= getattr(self, name) <= most:
                yield f"{name}: {getattr(self, name)} is out of bounds; expected {least:,} to {most:,}"
        for name in ("subject", "text"):
            for field in _FIELD.findall(getattr(self, name)):
                if field not in FIELDS:
                    yield f"{name}: {{{field}}} is not a field; expected {{process}}, {{user}} or {{date}}"
        for name in ("ca_file", "password_file"):
            path = getattr(self, name)
            if path and not (Path(path).is_absolute() and Path(path).is_file()):
                yield f"{name}: {path!r} is not a file; expected an absolute path of one"
        yield from self._wrong_login()

    def _wrong_login(self) -> Iterator[str]:
        if self.ca_file and self.tls == "none":
            yield 'ca_file: without TLS there is no certificate; expected tls = "starttls" or "implicit"'
        if self.password and self.password_file:
            yield "password and password_file are both set; expected one of them"
        if bool(self.user) != bool(self.password or self.password_file):
            yield "user and its password belong together; expected both or none"
        if self.user and self.tls == "none":
            yield 'user: the password would be sent in the clear; expected tls = "starttls" or "implicit"'
        if not (self.user.isascii() and self.password.isascii()):
            yield "user and password: expected ASCII"
