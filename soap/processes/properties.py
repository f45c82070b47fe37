"""The display name and the users of a stored scan process: its `<GUID>.toml`."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from typing import Any, Final

from postscan.core.errors import InvalidArgument

LONGEST_NAME: Final = 255
"""Most characters of PSP_DisplayName; the directory allows one more, which is cut off."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def read(name: str, data: bytes) -> tuple[str, frozenset[str]]:
    """Return display name and users; an unknown key is refused, since it may be a misspelled `users`.

    *name* is that of the file, for the `InvalidArgument` that is raised.
    """
    try:
        table: dict[str, Any] = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(name, "its text", f"TOML, but: {error}") from None
    for key in sorted(table.keys() - {"display_name", "users"}):
        raise InvalidArgument(f"{name}: {key}", str(table[key]), "display_name and users only")
    shown, users = table.get("display_name", ""), table.get("users", [])
    if not isinstance(shown, str) or not shown.strip():
        raise InvalidArgument(f"{name}: display_name", str(shown), "a text")
    if not isinstance(users, list) or not all(isinstance(user, str) and user for user in users):
        raise InvalidArgument(f"{name}: users", str(users), "a list of SIDs and user@domain names")
    return shown.strip()[:LONGEST_NAME], frozenset(users)


def write(display_name: str, users: Iterable[str]) -> bytes:
    """Return a new file; raise `InvalidArgument` for a name or a user that is not one line of text."""
    name = json.dumps(_shown(display_name), ensure_ascii=False)
    quoted = ", ".join(json.dumps(user, ensure_ascii=False) for user in sorted(frozenset(map(_user, users))))
    return f"display_name = {name}\nusers = [{quoted}]\n".encode()


def change(data: bytes, *, display_name: str | None = None, users: Iterable[str] | None = None) -> bytes:
    """Return a file with another name or other users, unless they are None; raise as `write`.

    Comments and layout stay. A value that is there already changes no byte.
    """
    import tomlkit

    shown, allowed = read("its properties", data)
    document = tomlkit.parse(data.decode())
    if display_name is not None and _shown(display_name) != shown:
        document["display_name"] = _shown(display_name)
    if users is not None and (wanted := frozenset(map(_user, users))) != allowed:
        document["users"] = sorted(wanted)
    changed = tomlkit.dumps(document).encode()
    return data if read("its properties", changed) == (shown, allowed) else changed


def _shown(display_name: str) -> str:
    return _line("PSP_DisplayName", display_name)[:LONGEST_NAME]


def _user(user: str) -> str:
    return _line("users", user)


def _line(argument: str, value: str) -> str:
    value = value.strip()
    if not value or _CONTROL.search(value):
        raise InvalidArgument(argument, value, "one line of text")
    return value
