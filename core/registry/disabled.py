"""Disable and enable plugins: edit `plugins.disabled` in the settings file, and nothing else in it.

A server reads the list when it starts.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from pathlib import Path

from postscan.core.errors import PluginError, SettingsError
from postscan.core.filters import hookspecs, loader
from postscan.core.settings import load


def set_disabled(path: Path | None, name: str, *, disabled: bool) -> bool:
    """Disable or enable a plugin in the settings file at *path*; return whether the file had to be changed.

    Comments and layout stay, and a symbolic link remains one. Raises `PluginError` for a name that is neither installed
    nor in the list, and `SettingsError` for a file that is invalid, cannot be edited, or is None.
    """
    listed = load(path).plugins.disabled  # raises for an invalid file before it is changed
    groups = (hookspecs.ENTRY_POINTS, hookspecs.SOURCE_ENTRY_POINTS, hookspecs.HOOK_ENTRY_POINTS)
    installed = sorted({entry.name for group in groups for entry in loader.installed(group)})
    if name not in installed and name not in listed:
        raise PluginError(f"no plugin {name!r} is installed; installed are: {', '.join(installed) or 'none'}")
    if (name in listed) is disabled:
        return False
    if path is None:
        line = f'plugins.disabled = ["{name}"]'
        raise SettingsError(f"there is no settings file; create one with the line {line}, and name it with --config")
    path = path.resolve()  # replace the target of a symbolic link, not the link
    _replace(path, edited(path.read_bytes().decode(), name, disabled=disabled))
    return True


def edited(text: str, name: str, *, disabled: bool) -> str:
    """Return the settings with the list changed; raise `SettingsError` if anything else would change."""
    import tomlkit

    document = tomlkit.parse(text)
    names = document.setdefault("plugins", tomlkit.table()).setdefault("disabled", tomlkit.array())
    if disabled:
        names.append(name)
    while not disabled and name in names:
        names.remove(name)
    edited = tomlkit.dumps(document)
    expected = tomllib.loads(text)
    table = expected.setdefault("plugins", {})
    table["disabled"] = [one for one in table.get("disabled", []) if one != name] + [name] * disabled
    if tomllib.loads(edited) != expected:
        raise SettingsError(f"the settings cannot be edited; write it yourself: plugins.disabled = {table['disabled']}")
    return edited


def _replace(path: Path, text: str) -> None:
    """Replace a file atomically; keep its owner and mode."""
    before = path.stat()
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(number, before.st_uid, before.st_gid)
            os.fchmod(number, before.st_mode & 0o7777)
            file.write(text.encode())
            file.flush()
            os.fsync(number)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
