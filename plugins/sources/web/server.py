"""The server of one inlet: socket, TLS and uvicorn, from the start of the source to its stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from postscan.plugins import CancellationToken
from postscan.plugins.sources.web.connections import HEAD_BYTES, HeadDeadline, WebLimits, WebListener

BACKLOG = 512


class CannotListen(Exception):
    """The address or the certificate of the settings cannot be used; the text says why."""


def tls_context(certificate: str, key: str) -> ssl.SSLContext | None:
    """Return the TLS context, or None without a certificate; raise `CannotListen`, which names the file."""
    if not certificate:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION
    for file in (certificate, key or certificate):
        try:
            Path(file).read_bytes()
        except OSError as error:
            raise CannotListen(f"{file} cannot be read: {error.strerror}") from None
    try:
        made.load_cert_chain(certificate, key or None, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        raise CannotListen(
            f"{certificate}, {key or certificate}: no certificate with its key in PEM: {error}"
        ) from None
    return made


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise `CannotListen`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}, port {port}: {error.strerror or error}") from None


def serve(
    app: Any,
    listener: socket.socket,
    context: ssl.SSLContext | None,
    limits: WebLimits,
    token: CancellationToken,
    *,
    grace: float,
    ready: Callable[[], None],
    log: Callable[..., None],
) -> None:
    """Serve until the token is set; then give the requests that are being served *grace* seconds."""
    for name in ("uvicorn.error", "uvicorn.access", "asyncio"):
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False  # clients cause these lines, as many as they like
    config = uvicorn.Config(
        app,
        http=HeadDeadline,
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a client could write any address into X-Forwarded-For
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=math.ceil(limits.idle_seconds),
        timeout_graceful_shutdown=max(1, math.floor(grace)),
    )
    server = _InletServer(config, listener, context, limits, ready, log)
    with _stopped_by(token, server):
        asyncio.run(server.serve())


class _InletServer(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        context: ssl.SSLContext | None,
        limits: WebLimits,
        ready: Callable[[], None],
        log: Callable[..., None],
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._context = context
        self._limits = limits
        self._ready = ready
        self._log = log
        self._logged = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections from now on."""
        listener = WebListener(self._listener, self._protocol, self._context, self._limits, self._note_refused)
        self.servers = [listener]  # type: ignore[list-item]  # it has what uvicorn calls of one
        self.started = True
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals of the process alone."""
        yield

    def _protocol(self) -> HeadDeadline:
        protocol = HeadDeadline(self.config, self.server_state, {}, asyncio.get_running_loop())
        protocol.limits = self._limits
        return protocol

    def _note_refused(self, address: str) -> None:
        now = time.monotonic()
        if now >= self._logged:
            self._logged = now + 60.0
            self._log("connection refused: too many connections", "warning", source=address)


@contextlib.contextmanager
def _stopped_by(token: CancellationToken, server: uvicorn.Server) -> Iterator[None]:
    """Let the server exit when the token is set."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            if token.wait(0.5):
                server.should_exit = True
                return

    watcher = threading.Thread(target=watch, name="web-stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
