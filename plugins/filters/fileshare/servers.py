"""The SMB servers of the settings, and the server of a UNC path.

A server that is not in the settings is never called, whatever the scan process names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, NamedTuple

PORT: Final = 445
SECONDS: Final = 30.0  # that one operation may take
MOST_SECONDS: Final = 300.0


@dataclass(frozen=True)
class FileServer:
    """One server and the account for it; one operation may take `seconds`."""

    name: str
    host: str
    user: str
    password: str = field(repr=False)
    port: int = PORT
    encrypt: bool = False
    seconds: float = SECONDS


class SmbDestination(NamedTuple):
    """A destination on a server: the UNC path of the scan process, and its parts."""

    unc: str
    server: FileServer
    share: str
    below: tuple[str, ...]


class Servers:
    """The servers by name; case does not count.

    `table` is the value of the settings, `key` its key, for error messages. Raises `ValueError` for a table that cannot
    be used; no message contains a password.
    """

    def __init__(self, table: Mapping[str, Any], key: str) -> None:
        if not isinstance(table, Mapping):
            raise ValueError(f"{key}: expected a table for each server, by its name")  # noqa: TRY004  (a bad setting is a ValueError, whatever its type)
        self._servers: dict[str, FileServer] = {}
        for name, entry in table.items():
            if not name or set(name) & set('\\/@ "'):
                raise ValueError(f"{key}: {name!r} is not the name of a server; expected one as in \\\\server\\share")
            if name.casefold() in self._servers:
                raise ValueError(f"{key}: {name} appears twice; upper and lower case are the same")
            self._servers[name.casefold()] = _server(name, entry, f'{key}."{name}"')

    def __repr__(self) -> str:
        return f"Servers({[server.name for server in self._servers.values()]})"

    def find(self, unc: str) -> SmbDestination | None:
        """Return the destination of a well-formed UNC path; None if its server is not in the table."""
        name, share, *below = unc[2:].rstrip("\\").split("\\")
        server = self._servers.get(name.casefold())
        return None if server is None else SmbDestination(unc, server, share, tuple(below))


def _server(name: str, entry: Any, key: str) -> FileServer:
    """Return the server that a table describes."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"{key}: expected a table with user and password")  # noqa: TRY004  (a bad setting is a ValueError, whatever its type)
    known = {one.name for one in fields(FileServer)} - {"name"} | {"password_file"}
    for one in entry:
        if one not in known:
            raise ValueError(f"{key}.{one}: there is no such setting; known are {', '.join(sorted(known))}")
    return FileServer(
        name=name,
        host=_text(entry, key, "host", name),
        user=_text(entry, key, "user"),
        password=_password(entry, key),
        port=int(_number(entry, key, "port", PORT, 1, 65535, whole=True)),
        encrypt=_boolean(entry, key, "encrypt"),
        seconds=_number(entry, key, "seconds", SECONDS, 1, MOST_SECONDS),
    )


def _password(entry: Mapping[str, Any], key: str) -> str:
    """Return the password, from the settings or from the file that they name."""
    if ("password" in entry) == ("password_file" in entry):
        raise ValueError(f"{key}: expected either password or password_file")
    if "password" in entry:
        if not isinstance(entry["password"], str) or not entry["password"]:
            raise ValueError(f"{key}.password: expected a text that is not empty")
        return entry["password"]
    path = entry["password_file"]
    if not isinstance(path, str) or not Path(path).is_absolute():
        raise ValueError(f"{key}.password_file: {path!r} is not a file; expected an absolute path")
    try:
        password = Path(path).read_text("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{key}.password_file: {path} is not text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{key}.password_file: {path} cannot be read: {error.strerror}") from None
    if not password or "\n" in password:
        raise ValueError(f"{key}.password_file: {path} contains no password; expected one line")
    return password


def _text(entry: Mapping[str, Any], key: str, name: str, default: Any = MISSING) -> str:
    value = entry.get(name, default)
    if value is MISSING:
        raise ValueError(f"{key}.{name}: missing; expected a text")
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key}.{name}: {value!r} is not a text; expected one that is not empty")
    return value


def _boolean(entry: Mapping[str, Any], key: str, name: str) -> bool:
    value = entry.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{key}.{name}: {value!r} is neither true nor false")  # noqa: TRY004  (a bad setting is a ValueError, whatever its type)
    return value


def _number(
    entry: Mapping[str, Any], key: str, name: str, default: float, least: float, most: float, *, whole: bool = False
) -> float:
    value = entry.get(name, default)
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        kind = "whole number" if whole else "number"
        raise ValueError(f"{key}.{name}: {value!r} is out of range; expected a {kind} from {least:g} to {most:g}")
    return value
