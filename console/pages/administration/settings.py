"""The settings in effect with their explanations, read only and without secrets; and a reload of the running server."""

from __future__ import annotations

from typing import Final, NamedTuple

from starlette.responses import Response

from postscan.console.rendering import render
from postscan.console.request import ConsoleRequest
from postscan.core import settings as toml
from postscan.core.errors import SettingsError
from postscan.core.settings import reload, reload_report
from postscan.core.settings.explanation import explain

PATH: Final = "/settings"

MOST_TABLES: Final = 300
"""Tables of a page: there may be thousands of users."""


class SettingsFileState(NamedTuple):
    """How the file differs from the settings in effect: keys that a reload takes over, and those that need a restart.

    `error` is why it cannot be used.
    """

    taken: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    error: str = ""


def show(request: ConsoleRequest) -> Response:
    """Return the page with all settings by table."""
    console = request.console
    tables = list(explain(console.settings))
    return render(
        request,
        "administration/settings.html",
        path=console.settings_file,
        file=_file_state(request),
        report=reload_report.read(console.settings.storage.data_dir),
        tables=tables[:MOST_TABLES],
        left_out=max(0, len(tables) - MOST_TABLES),
    )


def _file_state(request: ConsoleRequest) -> SettingsFileState:
    """Compare the settings with which the console runs with the file as it is now."""
    running = request.console.settings
    try:
        change = reload.difference(running, toml.load(request.console.settings_file))
    except SettingsError as error:
        return SettingsFileState(error=str(error))
    return SettingsFileState(change.taken, change.restart)
