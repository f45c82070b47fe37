"""What the administrator configures: `[sources.<name>]` with `plugin = "sftp"`."""

from __future__ import annotations

import fnmatch
import ipaddress
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from postscan.plugins import setting

MOST_BYTES: Final = 2 << 30

_KINDS: Final[Mapping[Any, tuple[Callable[[Any], bool], str]]] = {
    str: (lambda value: isinstance(value, str), "a text"),
    int: (lambda value: type(value) is int, "a whole number"),
    float: (lambda value: type(value) in (int, float), "a number"),
    tuple[str, ...]: (
        lambda value: isinstance(value, list | tuple) and all(isinstance(one, str) and one for one in value),
        "a list of patterns such as *.tmp",
    ),
}
_BOUNDS: Final = {
    "port": (1, 65_535),
    "most_bytes": (1, 2**40),
    "spool_bytes": (2, 2**41),
    "connections": (1, 10_000),
    "connections_per_address": (1, 10_000),
    "files_per_connection": (1, 100),
    "least_rate": (1, 2**30),
    "idle_seconds": (0.1, 86_400),
    "login_seconds": (0.1, 86_400),
    "data_seconds": (0.1, 86_400),
    "transfer_seconds": (0.1, 86_400),
}


@dataclass(frozen=True)
class Settings:
    """Where devices upload, who may, and what they may take of this machine."""

    host: str = setting("127.0.0.1", help="the address that devices connect to; the default is this machine")
    port: int = setting(2222, help="the port")
    host_key: str = setting("", help="a file with the private key of the server. '': keys that the inlet makes once")
    authorized_keys: str = setting(
        "", help="a folder with a file of public keys for each account that logs in by a key"
    )
    most_bytes: int = setting(MOST_BYTES, help="most bytes of a file")
    spool_bytes: int = setting(
        8 << 30, help="most bytes of all files that come, or wait for a rename; one sender has half"
    )
    connections: int = setting(50, help="most connections in all")
    connections_per_address: int = setting(8, help="most connections of one address")
    files_per_connection: int = setting(4, help="most files that one connection has open")
    idle_seconds: float = setting(300.0, help="seconds without a request, after which a connection ends")
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
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            yield f"host: {self.host!r} is not an address; expected 127.0.0.1, or 0.0.0.0 for all of this machine"
        if self.host_key and not (Path(self.host_key).is_absolute() and Path(self.host_key).is_file()):
            yield f"host_key: {self.host_key!r} is not a file; expected an absolute path of one"
        folder = Path(self.authorized_keys)
        if self.authorized_keys and not (folder.is_absolute() and folder.is_dir()):
            yield f"authorized_keys: {self.authorized_keys!r} is not a folder; expected an absolute path of one"

    def is_temporary(self, name: str) -> bool:
        """Return whether a file of this name waits for its rename."""
        return _matches(name, self.temporary_names)

    def is_ignored(self, name: str) -> bool:
        """Return whether a file of this name is thrown away."""
        return _matches(name, self.ignored_names)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.casefold(), one.casefold()) for one in patterns)
