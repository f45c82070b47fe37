"""`postscan plugin enable` and `disable`: edit `plugins.disabled` in the settings file, and nothing else in it."""

from __future__ import annotations

import os
import tempfile
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from postscan.cli.context import load_settings
from postscan.core.errors import PluginError, SettingsError

Name = Annotated[str, typer.Argument(metavar="NAME", help="Plugin, as `postscan plugin list` names it.")]


def enable(context: typer.Context, name: Name) -> None:
    """Enable a disabled plugin: remove its name from `plugins.disabled`.

    Writes the settings file that --config or POSTSCAN_CONFIG names; comments and layout stay. Restart a running
    server, which reads its settings when it starts.

    \b
    Example:
      postscan --config /etc/postscan.toml plugin enable stamp
    """
    _set_enabled(context, name, disabled=False)


def disable(context: typer.Context, name: Name) -> None:
    """Disable a plugin: add its name to `plugins.disabled`.

    It is no longer imported. It stays in `postscan plugin list`, without its filters or its source; jobs that name
    the filters fail, and inlets of the source are not started. Writes the settings file that --config or
    POSTSCAN_CONFIG names; comments and layout stay. Restart a running server, which reads its settings when it starts.

    \b
    Example:
      postscan --config /etc/postscan.toml plugin disable stamp
    """
    _set_enabled(context, name, disabled=True)


def _set_enabled(context: typer.Context, name: str, *, disabled: bool) -> None:
    from postscan.core.filters import hookspecs, loader

    listed = load_settings(context).plugins.disabled  # raises for an invalid file before it is changed
    groups = (hookspecs.ENTRY_POINTS, hookspecs.SOURCE_ENTRY_POINTS)
    installed = sorted({entry.name for group in groups for entry in loader.installed(group)})
    state = "disabled" if disabled else "enabled"
    if name not in installed and name not in listed:
        raise PluginError(f"no plugin {name!r} is installed; installed are: {', '.join(installed) or 'none'}")
    if (name in listed) is disabled:
        typer.echo(f"{name} is already {state}")
        return
    path: Path | None = context.find_root().obj
    if path is None:
        line = f'plugins.disabled = ["{name}"]'
        raise SettingsError(f"there is no settings file; create one with the line {line}, and name it with --config")
    path = path.resolve()  # replace the target of a symbolic link, not the link
    _replace(path, _edited(path.read_bytes().decode(), name, disabled=disabled))
    typer.echo(f"{name} is {state} in {path}; restart a running server")


def _edited(text: str, name: str, *, disabled: bool) -> str:
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
