"""Run the server: a socket, uvicorn, and the engine around them, from the first signal to the last job put down."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import logging
import math
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final, Protocol

import uvicorn
from starlette.applications import Starlette

from postscan.core.engine import Engine
from postscan.core.errors import SettingsError
from postscan.core.settings import Settings
from postscan.soap.discovery import app_sequence, responder, udp
from postscan.soap.eventing.notifier import Notifier
from postscan.soap.eventing.subscription_manager import SubscriptionManager
from postscan.soap.http import tls
from postscan.soap.http.app import create_app
from postscan.soap.http.endpoints import EventingParts
from postscan.soap.http.head_limits import protocol

log = logging.getLogger(__name__)

BACKLOG: Final = 1024
KEPT: Final = 64 << 20
SWITCH: Final = 0.0005
"""Seconds after which a thread lets another one in: the one that hashes and writes an image must not wait for long."""
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def serve(core: Engine, settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain. *ready* hears the URL as soon as requests are answered.

    Raises `SettingsError` if the address cannot be listened on, if another server has the data, or if a file of
    `[tls]` cannot be used.
    """
    stop = _StopSignal()
    context = tls.context(settings.tls)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(settings))
        address, port = listener.getsockname()[:2]
        lines = _addresses(stack, settings, address)
        stack.enter_context(core.running())
        _keep_freed_memory()
        sys.setswitchinterval(SWITCH)
        host = responder.advertisement(settings, port, app_sequence.begin(settings.storage.data_dir, core.clock.now()))
        voices: list[BackgroundService] = (
            [udp.DiscoveryServer(host, settings.discovery, address, lines)] if lines else []
        )
        eventing = EventingParts(
            SubscriptionManager(core.subscriptions, settings), Notifier(core.subscriptions, settings)
        )
        voices.append(eventing.notifier)
        app = create_app(core.service, settings, host, eventing)
        server = _Server(_config(app, settings, context), ready, _url(listener, settings), voices)
        stop.server = server
        server.run(sockets=[listener])
        log.info("draining: running filters get %g s", settings.server.drain_seconds)


def _addresses(stack: contextlib.ExitStack, settings: Settings, address: str) -> list[udp.UdpSocket]:
    """Open the ports of discovery, if there is any."""
    return stack.enter_context(udp.listening(settings.discovery, address)) if settings.is_discoverable else []


class _StopSignal:
    """Remembers a signal: uvicorn repeats it when it has stopped, and the drain must survive that."""

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        if self.server is None:
            raise SystemExit(0)  # it came before anything was served
        self.server.should_exit = True


class BackgroundService(Protocol):
    """Speaks without being asked, from the start of the server to its stop."""

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, ready: Callable[[str], None], url: str, voices: Sequence[BackgroundService]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._url = url
        self._voices = voices

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            for voice in self._voices:
                await voice.start()
            self._ready(self._url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, and stop."""
        for voice in self._voices:
            await voice.stop()
        await super().shutdown(sockets)


class _UvicornConfig(uvicorn.Config):
    handshake_seconds = 10.0

    def get_loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop]:
        """Run on uvloop, with a deadline for TLS handshakes."""
        return functools.partial(tls.Loop, self.handshake_seconds)


def _config(app: Starlette, settings: Settings, context: ssl.SSLContext | None) -> uvicorn.Config:
    config = _UvicornConfig(
        app,
        http=protocol(settings.server.head_seconds),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whoever may write X-Forwarded-For could be anybody's device
        timeout_keep_alive=math.ceil(settings.server.idle_seconds),
        timeout_graceful_shutdown=math.ceil(settings.server.drain_seconds),
        backlog=BACKLOG,
        ssl_context_factory=None if context is None else lambda _config, _default: context,
    )
    config.handshake_seconds = settings.tls.handshake_seconds
    return config


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(f"server.host, server.port: cannot listen on {host}:{port}: {error.strerror}") from error


def _url(listener: socket.socket, settings: Settings) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if settings.tls.on else "http"
    return f"{scheme}://{shown}:{port}{settings.server.path}"


def _keep_freed_memory() -> None:
    """Tell glibc to keep what is freed: uploads come in large pieces, and faulting each in anew costs a third."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return  # another C library; it works, only slower
    for parameter in (_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD):
        mallopt(parameter, KEPT if parameter != _M_TOP_PAD else 1 << 20)
