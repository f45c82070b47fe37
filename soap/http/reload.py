"""Take over changed settings and certificates while the server runs: at SIGHUP, in a thread of its own.

Everything is read and checked before anything is taken over, so an error changes nothing. Open connections keep their
certificates; their callers are identified by the new settings from the next request on.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, Protocol

from postscan.core.engine import Engine, server_process
from postscan.core.errors import PostscanError, SettingsError, StoreBusy
from postscan.core.settings import Settings, reload, reload_report
from postscan.core.settings.reload_report import ReloadReport
from postscan.soap.http import tls
from postscan.soap.http.identity import Identities

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 5.0
"""How long a stop waits for a reload that has begun."""


class SettingsSource(Protocol):
    """Where a server has its settings from."""

    def read(self) -> Settings:
        """Read the settings again. Raises `SettingsError`."""

    def taken_over(self, settings: Settings) -> None:
        """Do what else follows from the settings that the server has taken over. Raises no error."""


class HangUps:
    """The signals SIGHUP of this process since the construction, which must be in its main thread."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[bool] = SimpleQueue()  # unlike other queues, it may be used in a signal handler
        signal.signal(signal.SIGHUP, lambda _number, _frame: self._waiting.put(True))

    def wait(self) -> bool:
        """Wait for the next signal; return False after `stop`."""
        return self._waiting.get()

    def stop(self) -> None:
        """End the wait; signals that come after it have no effect."""
        self._waiting.put(False)


class SettingsReload:
    """Takes over the settings of one running server; *use* makes it use a TLS context for further connections."""

    def __init__(
        self,
        core: Engine,
        identities: Identities,
        source: SettingsSource,
        use: Callable[[ssl.SSLContext | None], None],
    ) -> None:
        self._core = core
        self._identities = identities
        self._source = source
        self._use = use
        self._number = 0
        self._name = ""

    def begin(self) -> None:
        """Write the first report: by it a command sees that this server handles the signal."""
        process = server_process(self._core.settings.storage.data_dir)
        self._name = process.name if process else ""
        self._write(ReloadReport(self._name))

    def run(self) -> None:
        """Reload, log and report how it ended; raises no error."""
        self._number += 1
        try:
            report = self._reload()
        except PostscanError as error:
            log.error("settings not reloaded", extra={"reason": str(error)})  # noqa: TRY400  (no trace helps)
            report = ReloadReport(self._name, self._number, error=str(error))
        except Exception as error:
            log.exception("reload failed")
            report = ReloadReport(self._name, self._number, error=f"{type(error).__name__}: {error}")
        self._write(report)

    def end(self) -> None:
        """Remove the report: this server handles the signal no longer."""
        try:
            reload_report.remove(self._core.settings.storage.data_dir)
        except OSError as error:
            log.warning("report of the reload not removed", extra={"reason": str(error)})

    def _reload(self) -> ReloadReport:
        running, read = self._core.settings, self._source.read()
        settings, change = reload.taken_over(running, read), reload.difference(running, read)
        context = tls.context(settings.tls)
        self._use(context)
        self._identities.use(settings)
        self._source.taken_over(settings)
        log.info("settings reloaded", extra={"taken": ", ".join(change.taken)})
        if change.restart:
            log.warning("changed settings need a restart", extra={"settings": ", ".join(change.restart)})
        try:
            self._core.use(settings)
        except StoreBusy as error:
            about = "the settings are taken over, but subscriptions of former administrators may go on"
            raise SettingsError(f"{about}; reload again: {error}") from error
        return ReloadReport(self._name, self._number, *change, certificates=context is not None)

    def _write(self, report: ReloadReport) -> None:
        try:
            reload_report.write(self._core.settings.storage.data_dir, report)
        except OSError as error:
            log.warning("report of the reload not written", extra={"reason": str(error)})


class ReloadService:
    """Reloads at each signal, from server start to server stop."""

    def __init__(self, signals: HangUps, settings: SettingsReload) -> None:
        self._signals = signals
        self._settings = settings
        self._thread = threading.Thread(target=self._loop, name="postscan-reload", daemon=True)

    async def start(self) -> None:
        """Start the thread."""
        await asyncio.to_thread(self._settings.begin)
        self._thread.start()

    async def stop(self) -> None:
        """Stop the thread."""
        self._signals.stop()
        await asyncio.to_thread(self._end)

    def _loop(self) -> None:
        while self._signals.wait():
            self._settings.run()

    def _end(self) -> None:
        self._thread.join(STOP_SECONDS)
        self._settings.end()
