"""The device's event listener: a small HTTP server that accepts events and queues them in the order of their arrival.

It accepts messages that have the identifier of the device's subscription, and each message once.
Source: dpws.md sections 5 and 8.3.
"""

from __future__ import annotations

import enum
import queue
import socket
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self
from urllib.parse import urlsplit

from postscan.cli.device.eventing import events
from postscan.cli.device.eventing.events import EventContent
from postscan.cli.device.transport import BadAnswer, Unreachable

EVENTS: Final = "/events"
END: Final = "/end"

_MAX_BYTES: Final = 64 * 1024  # bytes of a message: twice what the profile allows
_MAX_READ: Final = 1 << 20  # bytes that are read before a message is refused as too large
_IDLE_SECONDS: Final = 10.0  # a connection that is idle for longer is closed


class ListenerMode(enum.Enum):
    """How the listener responds to messages."""

    ACCEPTING = enum.auto()
    """Respond with 202."""

    SILENT = enum.auto()
    """Read the message and send no response."""

    REFUSING = enum.auto()
    """Respond with 500."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """The content of a message, and the time of its arrival in monotonic seconds."""

    at: float
    content: EventContent


class EventListener:
    """An HTTP server for events at *address* of this machine and a free port. Use it in a `with` block.

    Messages must have the wse:Identifier `identifier`. `requests` counts all messages; `refused` has the reason for
    each that was refused.
    """

    def __init__(self, address: str, mode: ListenerMode = ListenerMode.ACCEPTING) -> None:
        self.identifier = f"urn:uuid:{uuid.uuid4()}"
        self.mode = mode
        self.requests = 0
        self.refused: list[str] = []
        self._events: queue.SimpleQueue[ReceivedEvent] = queue.SimpleQueue()
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._server = _ListenerServer(self, address)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        host, port = self._server.server_address[:2]
        self._origin = f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def notify_to(self) -> str:
        """The address for events."""
        return self._origin + EVENTS

    @property
    def end_to(self) -> str:
        """The address for SubscriptionEnd."""
        return self._origin + END

    def next(self, seconds: float) -> ReceivedEvent | None:
        """Return the next event; None if none arrives within *seconds*."""
        try:
            return self._events.get(timeout=seconds) if seconds > 0 else self._events.get_nowait()
        except queue.Empty:
            return None

    def receive(self, path: str, data: bytes) -> HTTPStatus | None:
        """Accept or refuse one message and return the response status; None for no response."""
        at = time.monotonic()
        with self._lock:  # one at a time, so that events keep the order of their arrival
            self.requests += 1
            if self.mode is ListenerMode.REFUSING:
                return HTTPStatus.INTERNAL_SERVER_ERROR
            if self.mode is ListenerMode.ACCEPTING:
                return self._accept(at, path, data)
        self._closed.wait()
        return None

    def _accept(self, at: float, path: str, data: bytes) -> HTTPStatus:
        try:
            message = events.read(data)
        except BadAnswer as error:
            return self._refuse(f"a message at {path} {error}", HTTPStatus.BAD_REQUEST)
        if message.identifier != self.identifier:
            return self._refuse(
                f"a message at {path} has the identifier {message.identifier or '(none)'}; "
                f"expected {self.identifier}, from the ReferenceParameters",
                HTTPStatus.BAD_REQUEST,
            )
        expected = END if isinstance(message.content, events.SubscriptionEnd) else EVENTS
        if path != expected:
            return self._refuse(f"a message came to {path}; expected at {expected}", HTTPStatus.NOT_FOUND)
        if message.id not in self._seen:
            self._seen.add(message.id)
            self._events.put(ReceivedEvent(at, message.content))
        return HTTPStatus.ACCEPTED

    def _refuse(self, why: str, status: HTTPStatus) -> HTTPStatus:
        self.refused.append(why)
        return status


def local_address_for(url: str) -> str:
    """Return the address of this machine on the route to a server, at which the server reaches it."""
    parts = urlsplit(url)
    try:
        known = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_DGRAM)
        family, kind, protocol, _name, address = known[0]
        with socket.socket(family, kind, protocol) as route:
            route.connect(address)  # UDP: connect sends nothing
            return str(route.getsockname()[0])
    except (OSError, ValueError) as error:
        raise Unreachable(f"{url}: {error}") from error


class _ListenerServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the usual 5, a busy machine resets connections that come at the same time

    def __init__(self, listener: EventListener, address: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = listener
        super().__init__((address, 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a broken connection; report any other error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # the base class passed it


class _Handler(BaseHTTPRequestHandler):
    """One connection of a server."""

    server: _ListenerServer
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS

    def do_POST(self) -> None:
        """Receive one message and send the response."""
        data = self._body()
        if data is None or len(data) > _MAX_BYTES:
            self.close_connection = True
            self._respond(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        status = self.server.listener.receive(self.path, data)
        if status is None:
            self.close_connection = True
        else:
            self._respond(status)

    def _respond(self, status: HTTPStatus) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", "0")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _body(self) -> bytes | None:
        """Return the body; None if it is larger than `_MAX_READ` or has no valid length."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()) or int(length) > _MAX_READ:
            return None
        return self.rfile.read(int(length))

    def _chunks(self) -> bytes | None:
        body = b""
        while True:
            try:
                length = int(self.rfile.readline(100).partition(b";")[0], 16)
            except ValueError:
                return None
            if length < 0 or len(body) + length > _MAX_READ:
                return None
            body += self.rfile.read(length)
            self.rfile.readline(100)  # the end of the chunk; after the last one, of the body
            if length == 0:
                return body

    def log_message(self, format: str, *_: object) -> None:
        """Print nothing: `EventListener` has the events and the refusals."""
