"""Serve the console: its socket, uvicorn with our limits of connections, from the start to the stop."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from postscan.console.http.app import create_app
from postscan.console.state.examinations import of_settings
from postscan.core.engine import Engine
from postscan.core.errors import SettingsError
from postscan.core.settings import Settings
from postscan.doctor.discovery import SendProbe
from postscan.soap.http import connections, tls
from postscan.soap.http.acceptor import AcceptSettings, Loop
from postscan.soap.http.protocol import ConnectionLimits, protocol
from postscan.soap.http.turns import LoopTurns

log = logging.getLogger(__name__)

BACKLOG: Final = 256
NICE: Final = 10
"""The priority of the process: with it, a hundred browsers do not slow down the requests of devices."""

STOP_SECONDS: Final = 3.0
"""How long responses that are being sent have at a stop; nothing is lost with the others but what a browser shows."""

_OUT_OF_MEMORY: Final = "500"
"""The kernel ends the console before the server where memory is short, /proc/PID/oom_score_adj."""


def listen(settings: Settings) -> socket.socket:
    """Return the listening socket of the console.

    Raises `SettingsError` if its address is taken, is none, or would serve passwords in clear.
    """
    try:
        settings.console.check(is_tls=settings.tls.on, is_served=True)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    host, port = settings.console.host, settings.console.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        where = f"console.host, console.port: cannot listen on {host}:{port}"
        raise SettingsError(f"{where}: {error.strerror or error}") from error


def url(settings: Settings, listener: socket.socket) -> str:
    """Return the URL of the console for browsers."""
    if settings.console.public_url:
        return settings.console.public_url
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def give_way() -> None:
    """Let the server come first, for the processor and for memory."""
    os.nice(max(0, NICE - os.nice(0)))
    try:
        Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY)
    except OSError as error:  # a container may not have it
        log.debug("memory of the console has no lower priority", extra={"reason": str(error)})


def serve(
    engine: Engine,
    listener: socket.socket,
    ready: Callable[[str], None],
    watched: int | None = None,
    settings_file: Path | None = None,
    probe: SendProbe | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Calls *ready* with the URL when the console accepts requests.

    *settings_file* has the settings of the engine; None stands for the defaults. *probe* sends a Probe for the check of
    discovery.

    *watched* is the descriptor of a pipe: at its end the server that has started the console has ended, however that
    happened, and the console stops as well. Raises `SettingsError` if a file of `[tls]` cannot be used.
    """
    settings = engine.settings
    context = tls.context(settings.tls) if settings.console_uses_tls else None
    examinations = of_settings(settings_file or settings, engine.clock, probe)
    app = create_app(engine, settings_file=settings_file, examinations=examinations)
    server = _ConsoleServer(_config(app, settings, context), ready, url(settings, listener), app.close)
    if watched is not None:
        threading.Thread(target=_stop_at_end, args=(watched, server), name="console-watch", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: _stop(server))
    server.run(sockets=[listener])


def _stop(server: uvicorn.Server) -> None:
    """Let the server exit; uvicorn raises a signal that it has got again, which would end the process by it."""
    server.should_exit = True


def _stop_at_end(pipe: int, server: uvicorn.Server) -> None:
    """Stop when the other end of the pipe is closed; if that takes too long, end the process at once."""
    while os.read(pipe, 1):
        pass
    server.should_exit = True
    threading.Event().wait(2 * STOP_SECONDS)
    os._exit(0)


class _ConsoleServer(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, ready: Callable[[str], None], url: str, close: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._url = url
        self._close = close

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start uvicorn, then call `ready`."""
        await super().startup(sockets)
        if self.started:
            self._ready(self._url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, which would not end by themselves, then stop uvicorn."""
        await asyncio.to_thread(self._close)
        await super().shutdown(sockets)


class _ConsoleConfig(uvicorn.Config):
    accept: AcceptSettings

    def get_loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop]:
        """Return uvloop with our acceptor of connections."""
        return functools.partial(Loop, self.accept)


def _config(app: ASGIApp, settings: Settings, context: ssl.SSLContext | None) -> uvicorn.Config:
    turns = LoopTurns()
    config = _ConsoleConfig(
        app,
        http=protocol(ConnectionLimits(settings.server.head_seconds, settings.server.idle_seconds), turns),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the address that a named proxy reports is read by `address_of` alone
        timeout_graceful_shutdown=round(STOP_SECONDS),
        ssl_context_factory=None if context is None else lambda _config, _default: context,
    )
    options = settings.console
    most = connections.most_connections(options.connections, connections.raise_descriptor_limit())
    places = connections.Connections(most, options.connections_per_address)
    config.accept = AcceptSettings(places, settings.tls.handshake_seconds, settings.server.write_seconds, turns)
    return config
