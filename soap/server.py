"""Run the server: socket, uvicorn, engine and background services, from start to the end of the drain."""

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
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Final, Protocol, cast

import uvicorn
from starlette.applications import Starlette

from postscan.core.cluster.endpoint import SharedEndpoint
from postscan.core.engine import Engine
from postscan.core.errors import SettingsError
from postscan.core.service.administration.metrics.health import Health
from postscan.core.settings import Settings
from postscan.soap.discovery import app_sequence, responder, udp
from postscan.soap.eventing.notifier import Notifier
from postscan.soap.eventing.subscription_manager import SubscriptionManager
from postscan.soap.http import connections, tls
from postscan.soap.http.acceptor import Acceptor, AcceptSettings, Loop
from postscan.soap.http.app import create_app
from postscan.soap.http.endpoints import EventingParts
from postscan.soap.http.identity import Identities
from postscan.soap.http.protocol import ConnectionLimits, protocol
from postscan.soap.http.reload import HangUps, ReloadService, SettingsReload, SettingsSource
from postscan.soap.http.turns import LoopTurns
from postscan.soap.metadata import endpoint_id
from postscan.soap.request_counts import RequestCounts

log = logging.getLogger(__name__)

BACKLOG: Final = 1024
KEPT_BYTES: Final = 1 << 20
MAPPED_BYTES: Final = 256 << 10
HEAPS: Final = 2
TRIM_SECONDS: Final = 2.0
"""Seconds between two times at which free memory goes back to the system."""

LOOP: Final = "event loop"
LOOK_SECONDS: Final = 1.0
"""Seconds between two times at which the event loop notes that it has gone round."""

SWITCH_SECONDS: Final = 0.0005
"""Seconds of the interpreter's switch interval, so that the thread that hashes and writes an image waits less."""
_LIBC: Final = ctypes.CDLL(None)
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8


def serve(core: Engine, settings: Settings, ready: Callable[[str], None], source: SettingsSource) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Calls *ready* with the URL when the server accepts requests.

    At SIGHUP it reads the settings of *source* again, and takes over those that may change.

    Raises `SettingsError` if the server cannot listen on its address, if another server uses the data, or if a file
    of `[tls]` cannot be used.
    """
    _limit_freed_memory()
    stop, hang_ups = _StopSignal(), HangUps()
    context = tls.context(settings.tls)
    places = _places(settings)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(settings))
        address, port = listener.getsockname()[:2]
        udp_sockets = _udp_sockets(stack, settings, address)
        stack.enter_context(_free_memory_returned())
        stack.enter_context(core.running())
        core.metrics.watch_connections(places.use)
        counts = RequestCounts()
        core.metrics.add(counts)
        sys.setswitchinterval(SWITCH_SECONDS)
        data_dir = settings.storage.data_dir
        endpoint = SharedEndpoint(core.store, core.leadership, endpoint_id.endpoint_id(data_dir))
        endpoint_id.adopt(data_dir, endpoint.name)
        sequence = app_sequence.begin(data_dir, core.clock.now())
        advertisement = responder.advertisement(settings, port, sequence)
        services: list[BackgroundService] = [LoopWatch(core.health)]
        if udp_sockets:
            services.append(
                udp.DiscoveryServer(advertisement, settings.discovery, address, udp_sockets, endpoint=endpoint)
            )
        eventing = EventingParts(
            SubscriptionManager(core.subscriptions, settings),
            Notifier(core.subscriptions, settings, leadership=core.leadership),
        )
        services.append(eventing.notifier)
        identities = Identities(settings)
        turns = LoopTurns()
        app = create_app(core.service, settings, advertisement, eventing, identities, turns, counts)
        config = _config(app, settings, context, identities, places, turns)
        server = _Server(config, ready, _url(listener, settings), services, core.health)
        services.append(ReloadService(hang_ups, SettingsReload(core, identities, source, server.use)))
        stop.server = server
        server.run(sockets=[listener])
        log.info("drain started", extra={"seconds": settings.server.drain_seconds})


def _udp_sockets(stack: contextlib.ExitStack, settings: Settings, address: str) -> list[udp.UdpSocket]:
    """Open the sockets of discovery; none if discovery is off."""
    return stack.enter_context(udp.listening(settings.discovery, address)) if settings.is_discoverable else []


class _StopSignal:
    """Handles SIGTERM and SIGINT: uvicorn raises them again after its stop, which must not end the drain."""

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.server is None:
            raise SystemExit(0)  # before the first request
        self.server.should_exit = True


class BackgroundService(Protocol):
    """A background task that runs from server start to server stop."""

    async def start(self) -> None:
        """Start the task."""

    async def stop(self) -> None:
        """Stop the task."""


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[str], None],
        url: str,
        services: Sequence[BackgroundService],
        health: Health,
    ) -> None:
        super().__init__(config)
        self._health = health
        self._ready = ready
        self._url = url
        self._services = services

    def use(self, context: ssl.SSLContext | None) -> None:
        """Use this TLS context for further connections."""
        for acceptor in cast("list[Acceptor]", self.servers):  # those of `Loop`
            acceptor.use(context)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start uvicorn and the background services, then call `ready`."""
        await super().startup(sockets)
        if self.started:
            for service in self._services:
                await service.start()
            self._health.started()
            self._ready(self._url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Be ready no more; stop the background services, then uvicorn."""
        self._health.drain()
        for service in self._services:
            await service.stop()
        await super().shutdown(sockets)


class LoopWatch:
    """Notes each second that the event loop has gone round, until it stops."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the task."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop the task."""
        if self._task is not None:
            self._task.cancel()
        self._health.stopped(LOOP)

    async def _run(self) -> None:
        while True:
            self._health.went_round(LOOP)
            await asyncio.sleep(LOOK_SECONDS)


class _UvicornConfig(uvicorn.Config):
    accept: AcceptSettings

    def get_loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop]:
        """Return uvloop with our acceptor of connections."""
        return functools.partial(Loop, self.accept)


def _config(
    app: Starlette,
    settings: Settings,
    context: ssl.SSLContext | None,
    identities: Identities,
    places: connections.Connections,
    turns: LoopTurns,
) -> uvicorn.Config:
    server = settings.server
    admits = identities.may_use_tls if settings.tls.mode == "client" else lambda _pem: True
    config = _UvicornConfig(
        app,
        http=protocol(ConnectionLimits(server.head_seconds, server.idle_seconds, admits), turns),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a client could write any address into X-Forwarded-For
        timeout_graceful_shutdown=math.ceil(server.drain_seconds),
        ssl_context_factory=None if context is None else lambda _config, _default: context,
    )
    config.accept = AcceptSettings(places, settings.tls.handshake_seconds, server.write_seconds, turns)
    return config


def _places(settings: Settings) -> connections.Connections:
    """Return the places of connections, as many as the descriptors allow."""
    server, descriptors = settings.server, connections.raise_descriptor_limit()
    most = connections.most_connections(server.connections, descriptors)
    if most < server.connections:
        log.warning("fewer connections than configured", extra={"connections": most, "descriptors": descriptors})
    return connections.Connections(most, server.connections_per_address)


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(f"server.host, server.port: cannot listen on {host}:{port}: {error.strerror}") from error


def _url(listener: socket.socket, settings: Settings) -> str:
    host, port = listener.getsockname()[:2]
    address = f"[{host}]" if ":" in host else host
    scheme = "https" if settings.tls.on else "http"
    return f"{scheme}://{address}:{port}{settings.server.path}"


def _limit_freed_memory() -> None:
    """Let glibc return large blocks at once, and keep little of other freed memory; before the threads are started.

    A connection with TLS has a buffer of 256 KiB in uvloop, of which it uses a few pages. In a mapping of its own only
    those take memory; in a heap it would lie where other blocks were. Threads share two heaps: memory that is free in
    one of many heaps is of no use to the threads of the others.
    """
    try:
        mallopt = _LIBC.mallopt
    except AttributeError:
        return  # another C library
    mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
    mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    mallopt(_M_TOP_PAD, 1 << 20)
    mallopt(_M_ARENA_MAX, HEAPS)


@contextlib.contextmanager
def _free_memory_returned(seconds: float = TRIM_SECONDS) -> Iterator[None]:
    """Return free pages of the heaps to the system again and again while the body runs, in a thread of its own.

    glibc does that only at the end of a heap. Between blocks in use, pages would stay in memory that were written to
    once, and the buffers of connections would get them. A call takes a millisecond, and 0.1 ms for each MiB returned.
    """
    if not hasattr(_LIBC, "malloc_trim"):  # another C library
        yield
        return
    over = threading.Event()

    def trim() -> None:
        while not over.wait(seconds):
            _LIBC.malloc_trim(1 << 20)

    thread = threading.Thread(target=trim, name="postscan-memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
