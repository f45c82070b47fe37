"""`[plugins.directory]`: the servers, the log-in, and where users and scan processes are."""

from __future__ import annotations

import re
import ssl
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal

from postscan.plugins import setting
from postscan.plugins.directory.errors import LoginRefused, ServerAway

PORTS: Final = {"ldaps": 636, "starttls": 389}

_SERVER: Final = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_NAMING_CONTEXT: Final = re.compile(r"(?i)(?:[a-z][a-z0-9-]*=[^,=]+)(?:,[a-z][a-z0-9-]*=[^,=]+)*")
_BOUNDS: Final = {"connect_seconds": (0.1, 60), "group_depth": (1, 50)}
_KINDS: Final[Mapping[Any, tuple[Callable[[Any], bool], str]]] = {
    str: (lambda value: isinstance(value, str), "a text"),
    int: (lambda value: type(value) is int, "a whole number"),
    float: (lambda value: type(value) in (int, float), "a number"),
    tuple[str, ...]: (
        lambda value: isinstance(value, list | tuple) and all(isinstance(one, str) and one for one in value),
        "a list of servers such as dc1.fabrikam.example",
    ),
}
_CHOICES: Final = {"tls": tuple(PORTS), "kind": ("active-directory", "openldap")}


@dataclass(frozen=True, repr=False)  # no repr: a password is in it
class Settings:
    """`[plugins.directory]`: the servers, the log-in, and where users and scan processes are."""

    servers: tuple[str, ...] = setting(help="names of the servers, each with `:port` if it has another one")
    kind: Literal["active-directory", "openldap"] = setting(
        "active-directory", help="what the entries are like: Active Directory (Samba too), or OpenLDAP with our schema"
    )
    tls: Literal["ldaps", "starttls"] = setting("ldaps", help="how connections are encrypted; all of them are")
    ca_file: str = setting("", help="PEM file of the CAs accepted for the servers; default: those of the system")
    user: str = setting("", help="the service account: `name@domain` or a distinguished name")
    password: str = setting("", help="its password", secret=True)
    password_file: str = setting("", help="a file with the password in its first line")
    base: str = setting("", help="where users are; default: the whole domain. OpenLDAP needs it")
    processes: str = setting("", help="the container of scan processes; default: CN=PSPs,CN=System below the domain")
    connect_seconds: float = setting(3.0, help="longest time for connection and TLS, of one server")
    group_depth: int = setting(10, help="most levels of groups in groups, with OpenLDAP")

    def __post_init__(self) -> None:
        """Raise `ValueError` for the first invalid setting."""
        for refusal in chain(self._wrong_kinds(), self._wrong_values(), self._wrong_login()):
            raise ValueError(refusal)

    @property
    def endpoints(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each server, in their order."""
        found = (_SERVER.fullmatch(one) for one in self.servers)
        return tuple((one["host"].strip("[]"), int(one["port"] or PORTS[self.tls])) for one in found if one is not None)

    @property
    def is_active_directory(self) -> bool:
        """Whether entries are as in Active Directory."""
        return self.kind == "active-directory"

    def context(self) -> ssl.SSLContext:
        """Return how TLS is spoken: certificate and name are verified. Raises `ServerAway` if its file is unusable."""
        try:
            made = ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ValueError) as error:
            raise ServerAway(f"ca_file: {self.ca_file} cannot be used: {error}") from None
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        return made

    def secret(self) -> str:
        """Return the password; raise `LoginRefused` if its file has none."""
        if not self.password_file:
            return self.password
        try:
            lines = Path(self.password_file).read_text("utf-8").splitlines()
        except (OSError, ValueError) as error:
            problem = error.strerror if isinstance(error, OSError) else "it is not text"
            raise LoginRefused(f"password_file: {self.password_file}: {problem}") from None
        if not lines or not lines[0]:
            raise LoginRefused(f"password_file: {self.password_file}: expected a password in its first line")
        return lines[0]

    def _wrong_kinds(self) -> Iterator[str]:
        for name, hint in typing.get_type_hints(Settings).items():
            is_one, expected = _KINDS.get(hint, (lambda _: True, ""))
            if not is_one(getattr(self, name)):
                yield f"{name}: expected {expected}"
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                yield f"{name}: {getattr(self, name)!r} is unknown; expected {' or '.join(choices)}"

    def _wrong_values(self) -> Iterator[str]:
        if not self.servers:
            yield "servers: expected one or more servers such as dc1.fabrikam.example"
        for one in self.servers:
            found = _SERVER.fullmatch(one)
            if found is None or not 0 < int(found["port"] or 1) < 65_536:
                yield f"servers: {one!r} is no server; expected a name or an address, as dc1.fabrikam.example:636"
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                yield f"{name}: {getattr(self, name)} is out of bounds; expected {least:,} to {most:,}"
        for name in ("base", "processes"):
            if (value := getattr(self, name)) and not _NAMING_CONTEXT.fullmatch(value):
                yield f"{name}: {value!r} is no distinguished name; expected one such as DC=fabrikam,DC=example"
        if not self.is_active_directory and not (self.base and self.processes):
            yield "base and processes: OpenLDAP needs both; expected two distinguished names"
        for name in ("ca_file", "password_file"):
            path = getattr(self, name)
            if path and not (Path(path).is_absolute() and Path(path).is_file()):
                yield f"{name}: {path!r} is not a file; expected an absolute path of one"

    def _wrong_login(self) -> Iterator[str]:
        if self.password and self.password_file:
            yield "password and password_file are both set; expected one of them"
        if not (self.user and (self.password or self.password_file)):
            yield "user and its password are missing; expected both"
