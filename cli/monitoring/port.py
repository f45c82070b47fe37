"""The port of a process for probes and for Prometheus: `/livez`, `/readyz` and `/metrics`, by plain HTTP.

It has threads of its own, so that it answers while the event loop of the server hangs. A connection is for one request.
Who reaches the port may read; no response has a token, a user, an address or a path.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final, NamedTuple

from postscan.core.errors import SettingsError
from postscan.core.service.administration.metrics.health import Health
from postscan.core.settings.monitoring import MonitoringSettings

log = logging.getLogger(__name__)

CONNECTIONS: Final = 32
CONNECTIONS_PER_ADDRESS: Final = 8
"""Connections at the same time; further ones are closed at once."""

SECONDS: Final = 10.0
"""For a connection, from its first byte to its end: a check may take half of it."""

HEAD_SECONDS: Final = 3.0
HEAD_BYTES: Final = 8192
"""For the head of a request."""

METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"

_PAUSE: Final = 1.0  # seconds after an error of accept, such as too few descriptors


class PlainResponse(NamedTuple):
    """A status, a body, and the type of the body."""

    status: HTTPStatus
    body: bytes
    type: str = TEXT


class MonitoringPort:
    """Answers on one address while its `open` is. *page* returns the metrics, b"" if there are none."""

    def __init__(self, settings: MonitoringSettings, health: Health, page: Callable[[], bytes]) -> None:
        self._settings = settings
        self._health = health
        self._page = page
        self._paths: dict[str, Callable[[], PlainResponse]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
        }
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    @contextlib.contextmanager
    def open(self) -> Iterator[int | None]:
        """Answer while the body runs; yield the port, None if the settings have none. Raises `SettingsError`."""
        if self._settings.port is None:
            yield None
            return
        with _listen(self._settings.host, self._settings.port) as listener:
            over = threading.Event()
            thread = threading.Thread(target=self._loop, args=(listener, over), name="postscan-monitoring", daemon=True)
            thread.start()
            try:
                yield listener.getsockname()[1]
            finally:
                over.set()
                listener.shutdown(socket.SHUT_RDWR)  # ends accept
                thread.join()

    def respond(self, head: bytes) -> PlainResponse:
        """Return the response to the head of a request."""
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _refusal(HTTPStatus.BAD_REQUEST)
        found = self._paths.get(words[1].partition(b"?")[0].decode("latin-1"))
        if found is None:
            return _refusal(HTTPStatus.NOT_FOUND)
        if words[0] != b"GET":
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED)
        return found()

    def _livez(self) -> PlainResponse:
        late = self._health.stuck()
        return _health_response([f"{part}: no round for {seconds:.0f} s" for part, seconds in late.items()])

    def _readyz(self) -> PlainResponse:
        return _health_response([f"{name}: {reason}" for name, reason in self._health.unready().items()])

    def _metrics(self) -> PlainResponse:
        page = self._page()
        return PlainResponse(HTTPStatus.OK, page, METRICS) if page else _health_response(["metrics: none yet"])

    def _loop(self, listener: socket.socket, over: threading.Event) -> None:
        while not over.is_set():
            try:
                connection, (address, *_) = listener.accept()
            except OSError:
                over.wait(_PAUSE)
                continue
            if not self._takes(address):
                connection.close()
                continue
            threading.Thread(
                target=self._serve, args=(connection, address), name="postscan-monitoring-request", daemon=True
            ).start()

    def _takes(self, address: str) -> bool:
        """Count a connection, and return True, unless there are too many."""
        with self._lock:
            if self._open.total() >= CONNECTIONS or self._open[address] >= CONNECTIONS_PER_ADDRESS:
                return False
            self._open[address] += 1
            return True

    def _serve(self, connection: socket.socket, address: str) -> None:
        try:
            with connection, contextlib.suppress(OSError):
                until = time.monotonic() + SECONDS
                head = _head(connection)
                if head is not None:
                    _send(connection, self.respond(head), until)
        except Exception:
            log.exception("probe not answered")
        finally:
            with self._lock:
                self._open[address] -= 1
                if not self._open[address]:
                    del self._open[address]


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=CONNECTIONS)
    except OSError as error:
        reason = f"cannot listen on {host}:{port}: {error.strerror}"
        raise SettingsError(f"monitoring.host, monitoring.port: {reason}") from error


def _head(connection: socket.socket) -> bytes | None:
    """Read the head of a request; None if it is too long, or if it does not come in time."""
    until, received = time.monotonic() + HEAD_SECONDS, bytearray()
    while b"\r\n\r\n" not in received:
        left = until - time.monotonic()
        if left <= 0 or len(received) > HEAD_BYTES:
            return None
        connection.settimeout(left)
        data = connection.recv(HEAD_BYTES)
        if not data:
            return None
        received += data
    return bytes(received)


def _send(connection: socket.socket, response: PlainResponse, until: float) -> None:
    fields = {
        "Content-Type": response.type,
        "Content-Length": str(len(response.body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close",
    }
    if response.status is HTTPStatus.METHOD_NOT_ALLOWED:
        fields["Allow"] = "GET"
    lines = [f"HTTP/1.1 {response.status.value} {response.status.phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    connection.settimeout(max(0.001, until - time.monotonic()))
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + response.body)


def _health_response(reasons: list[str]) -> PlainResponse:
    """Return 200, or 503 with the reasons."""
    if not reasons:
        return PlainResponse(HTTPStatus.OK, b"ok\n")
    return PlainResponse(HTTPStatus.SERVICE_UNAVAILABLE, "".join(f"{one}\n" for one in reasons).encode())


def _refusal(status: HTTPStatus) -> PlainResponse:
    return PlainResponse(status, f"{status.phrase}\n".encode())
