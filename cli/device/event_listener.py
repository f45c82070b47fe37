"""The device's ear: a small HTTP server that takes events and hands them on in the order in which they come.

It takes what carries the identifier that the device gave to its subscription, and each message once.
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

from postscan.cli.device import events
from postscan.cli.device.events import Notice
from postscan.cli.device.transport import BadAnswer, Unreachable

EVENTS: Final = "/events"
END: Final = "/end"

_LARGEST: Final = 64 * 1024  # bytes of a message: twice what the profile allows
_PATIENCE: Final = 1 << 20  # bytes that are read before an answer says that they are too many
_SILENCE: Final = 10.0  # seconds that a connection may be silent


class ListenerMode(enum.Enum):
    """How the ear treats what comes."""

    POLITE = enum.auto()
    """It answers 202."""

    DEAF = enum.auto()
    """It takes the message and never answers."""

    REFUSING = enum.auto()
    """It answers 500."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """What came, and when (steady seconds)."""

    at: float
    notice: Notice


class EventListener:
    """Hears what a server tells, at *address* of this machine and a free port, while it is used in a `with` block.

    `identifier` is what messages have to carry. `visits` counts the messages that came, whatever became of them;
    `strange` says of each that was refused why.
    """

    def __init__(self, address: str, manner: ListenerMode = ListenerMode.POLITE) -> None:
        self.identifier = f"urn:uuid:{uuid.uuid4()}"
        self.manner = manner
        self.visits = 0
        self.strange: list[str] = []
        self._heard: queue.SimpleQueue[ReceivedEvent] = queue.SimpleQueue()
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = _ListenerServer(self, address)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        host, port = self._server.server_address[:2]
        self._origin = f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def notify_to(self) -> str:
        """Where events go."""
        return self._origin + EVENTS

    @property
    def end_to(self) -> str:
        """Where the end of the subscription is told."""
        return self._origin + END

    def next(self, seconds: float) -> ReceivedEvent | None:
        """Return what came next; None if nothing does for so long."""
        try:
            return self._heard.get(timeout=seconds) if seconds > 0 else self._heard.get_nowait()
        except queue.Empty:
            return None

    def take(self, path: str, data: bytes) -> HTTPStatus | None:
        """Take one message and return what to answer; None is no answer at all."""
        at = time.monotonic()
        with self._lock:  # one after another, so that the order is theirs
            self.visits += 1
            if self.manner is ListenerMode.REFUSING:
                return HTTPStatus.INTERNAL_SERVER_ERROR
            if self.manner is ListenerMode.POLITE:
                return self._take(at, path, data)
        self._over.wait()
        return None

    def _take(self, at: float, path: str, data: bytes) -> HTTPStatus:
        try:
            letter = events.read(data)
        except BadAnswer as error:
            return self._refuse(f"a message at {path} {error}", HTTPStatus.BAD_REQUEST)
        if letter.identifier != self.identifier:
            return self._refuse(
                f"a message at {path} carries the identifier {letter.identifier or '(none)'}; "
                f"expected {self.identifier}, from the ReferenceParameters",
                HTTPStatus.BAD_REQUEST,
            )
        expected = END if isinstance(letter.notice, events.SubscriptionEnd) else EVENTS
        if path != expected:
            return self._refuse(f"a message came to {path}; expected at {expected}", HTTPStatus.NOT_FOUND)
        if letter.id not in self._seen:
            self._seen.add(letter.id)
            self._heard.put(ReceivedEvent(at, letter.notice))
        return HTTPStatus.ACCEPTED

    def _refuse(self, why: str, status: HTTPStatus) -> HTTPStatus:
        self.strange.append(why)
        return status


def towards(url: str) -> str:
    """Return the address of this machine from which that server is reached, and at which it reaches us."""
    parts = urlsplit(url)
    try:
        known = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_DGRAM)
        family, kind, protocol, _name, address = known[0]
        with socket.socket(family, kind, protocol) as route:
            route.connect(address)  # by UDP: nothing is sent
            return str(route.getsockname()[0])
    except (OSError, ValueError) as error:
        raise Unreachable(f"{url}: {error}") from error


class _ListenerServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, ear: EventListener, address: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.ear = ear
        super().__init__((address, 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Let a connection that broke go; an error of ours is shown as ever."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # the base class passed it


class _Handler(BaseHTTPRequestHandler):
    """One connection of a server."""

    server: _ListenerServer
    protocol_version = "HTTP/1.1"
    timeout = _SILENCE

    def do_POST(self) -> None:
        """Take one message."""
        data = self._body()
        if data is None or len(data) > _LARGEST:
            self.close_connection = True
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        status = self.server.ear.take(self.path, data)
        if status is None:
            self.close_connection = True
        else:
            self._answer(status)

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", "0")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _body(self) -> bytes | None:
        """Return the body; None if it is far too large, or has no length that can be understood."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()) or int(length) > _PATIENCE:
            return None
        return self.rfile.read(int(length))

    def _chunks(self) -> bytes | None:
        body = b""
        while True:
            try:
                length = int(self.rfile.readline(100).partition(b";")[0], 16)
            except ValueError:
                return None
            if length < 0 or len(body) + length > _PATIENCE:
                return None
            body += self.rfile.read(length)
            self.rfile.readline(100)  # the end of the chunk; after the last one, of the body
            if length == 0:
                return body

    def log_message(self, format: str, *_: object) -> None:
        """Say nothing: what is worth telling is in what `EventListener` keeps."""
