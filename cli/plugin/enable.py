"""`postscan plugin enable` and `disable`: edit `plugins.disabled` in the settings file, and nothing else in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    from postscan.core.registry import disabled as disabled_plugins

    path: Path | None = context.find_root().obj
    state = "disabled" if disabled else "enabled"
    if not disabled_plugins.set_disabled(path, name, disabled=disabled):
        typer.echo(f"{name} is already {state}")
    elif path is not None:
        typer.echo(f"{name} is {state} in {path.resolve()}; restart a running server")
