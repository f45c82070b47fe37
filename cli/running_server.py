"""The running server of a data folder, as a command reaches it: by a signal, and by the report that it writes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postscan.core.errors import SettingsError

if TYPE_CHECKING:
    from postscan.core.settings.reload_report import ReloadReport

WAIT_SECONDS: Final = 60.0
"""How long a command waits for the report of a server."""

_PAUSE: Final = 0.05  # seconds


def reload(folder: Path) -> ReloadReport:
    """Let the server of a data folder read its settings again, and return its report.

    Raises `SettingsError` if no server that can do so runs on this machine, as this user; if it does not report; and if
    it could not use what it has read.
    """
    from postscan.core.engine import server_process
    from postscan.core.settings import reload_report

    process = server_process(folder)
    if process is None:
        raise SettingsError(f"{folder}: no server is running with this data_dir")
    if process.number is None:
        raise SettingsError(f"{folder}: the server is {process.name}; run this command on its machine")
    before = reload_report.read(folder)
    if before is None or before.server != process.name:  # the signal would end it
        raise SettingsError(f"{folder}: {process.name} cannot reload: it is starting, or is of an older version")
    try:
        os.kill(process.number, signal.SIGHUP)
    except PermissionError:
        reason = "belongs to another user; run this command as that user"
        raise SettingsError(f"{folder}: {process.name} {reason}") from None
    report = _next_report(folder, before)
    if report.error:
        raise SettingsError(report.error)
    return report


def _next_report(folder: Path, before: ReloadReport) -> ReloadReport:
    """Wait for the report of a reload after *before*, and return it."""
    from postscan.core.settings import reload_report

    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        report = reload_report.read(folder)
        if report is not None and report.server == before.server and report.number and report.id != before.id:
            return report
        time.sleep(_PAUSE)
    raise SettingsError(f"{folder}: {before.server} has not reloaded within {WAIT_SECONDS:g} s; see its log")
