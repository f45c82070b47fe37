"""SOAP over HTTP/1.1 to one device, and to no other host.

Each request has a connection of its own, to the pinned host with the port and path of its URL. No redirect is followed,
no proxy and no environment used, no address that a message names connected to (WSS-071). A cancel, `abort` and the
deadline end every wait within 100 ms. Source: ws-scan.md sections 6 to 9; WSS-042, WSS-046.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterable, Iterator
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

from lxml import etree

from postscan.soap.wsscan.connection import DeviceConnection, StopCheck
from postscan.soap.wsscan.faults import CallAborted, DeviceAway, InvalidAnswer
from postscan.soap.wsscan.messages import envelope
from postscan.soap.wsscan.messages.envelope import Xml
from postscan.soap.xml.writing import new_message_id

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0
"""Seconds from the request to the whole of an ordinary answer."""

HEAD_SECONDS: Final = 75.0
"""Seconds from a request for an image to the head of its answer; a device may take 60."""

IDLE_SECONDS: Final = 60.0
"""Seconds between two pieces of an image."""

LARGEST_ANSWER: Final = 1 << 20
"""Most bytes of an ordinary answer."""

MEDIA_TYPE: Final = "application/soap+xml; charset=utf-8"

Answer = etree._Element
"""What the Body of an answer holds, with canonical namespaces; the empty Body of an answer without content."""

_SHORT: Final = "the answer of the device ends early"
_PIECE: Final = 64 * 1024
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_DEFAULT_PORT: Final = 80


class DeviceUrl(NamedTuple):
    """The parts of a URL of a device that a request uses; its host is not among them."""

    port: int
    target: str


class StreamedAnswer:
    """An answer whose body comes in pieces, its Content-Type, and the MessageID of its request."""

    def __init__(
        self, message_id: str, response: HTTPResponse, connection: DeviceConnection, idle_seconds: float
    ) -> None:
        self.message_id = message_id
        self.content_type = response.getheader("Content-Type") or ""
        self._response = response
        self._connection = connection
        self._idle_seconds = idle_seconds

    def pieces(self) -> Iterator[bytes]:
        """Yield the body up to its end, each piece within the seconds that a device may be silent.

        Raises `DeviceAway` for an end before the one that the HTTP head announces.
        """
        while True:
            self._connection.until = time.monotonic() + self._idle_seconds
            with _breaking_off():
                piece = self._response.read1(_PIECE)
            if not piece:
                break
            yield piece
        if self._response.length:
            raise DeviceAway(_SHORT)


class ScannerClient:
    """Requests to one device; several threads may use it. A wait raises what `check` of *stop* raises: `Cancelled`."""

    def __init__(self, host: str, *, stop: StopCheck | None) -> None:
        self._host = host
        self._stop = stop
        self._lock = threading.Lock()  # of what follows
        self._open: set[DeviceConnection] = set()
        self._aborted = False

    def call(
        self,
        url: str,
        action: str,
        body: Xml,
        *,
        headers: Iterable[Xml] = (),
        to: str = "",
        seconds: float = ANSWER_SECONDS,
        largest: int = LARGEST_ANSWER,
    ) -> Answer:
        """Send a request and return what the Body of its answer holds.

        *url* is the address as the device gave it; of it, only port and path are connected to. It becomes wsa:To if
        *to* is empty: the device itself is addressed by its endpoint, `urn:uuid:...`.
        *seconds* is the time until all of the answer is there. Raises `DeviceFault`, `DeviceAway` (`InvalidAnswer` for
        an answer that is no envelope, or larger than *largest* bytes), and `CallAborted`.
        """
        message = envelope.write_request(to or url, action, body, headers)
        with self._exchange(url, message, seconds) as (response, _), _breaking_off():
            framed = response.chunked or response.length is not None
            data = _whole(iter(lambda: response.read1(_PIECE), b""), largest)
        if response.length or not (data or framed):
            raise DeviceAway(_SHORT)
        return _read_body(response.status, data)

    @contextlib.contextmanager
    def stream(
        self,
        url: str,
        action: str,
        body: Xml,
        *,
        head_seconds: float = HEAD_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> Iterator[StreamedAnswer]:
        """Send a request and yield its answer, whose body is still to come; errors as with `call`, faults excepted."""
        message_id = new_message_id()
        message = envelope.write_request(url, action, body, message_id=message_id)
        with self._exchange(url, message, head_seconds) as (response, connection):
            yield StreamedAnswer(message_id, response, connection, idle_seconds)

    def abort(self) -> None:
        """End all calls, and each later one, with `CallAborted`; for another thread."""
        with self._lock:
            self._aborted = True
            running = list(self._open)
        for connection in running:
            connection.abort()

    @contextlib.contextmanager
    def _exchange(self, url: str, message: bytes, seconds: float) -> Iterator[tuple[HTTPResponse, DeviceConnection]]:
        """Send *message* and yield the response after its head, and the connection."""
        there = parse_url(url)
        began = time.monotonic()
        connection = DeviceConnection(
            self._host, there.port, stop=self._stop, until=began + min(CONNECT_SECONDS, seconds)
        )
        with self._running(connection):
            connection.open()
            connection.until = began + seconds
            connection.sendall(_head(self._host, there, len(message)) + message)
            with contextlib.closing(HTTPResponse(cast("Any", connection), method="POST")) as response:
                with _breaking_off():
                    response.begin()
                yield response, connection

    @contextlib.contextmanager
    def _running(self, connection: DeviceConnection) -> Iterator[None]:
        with self._lock:
            if self._aborted:
                raise CallAborted
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()


@contextlib.contextmanager
def _breaking_off() -> Iterator[None]:
    """Turn the errors of a response that is malformed or ends early into `DeviceAway`."""
    try:
        yield
    except (HTTPException, OSError) as error:
        raise DeviceAway(f"the answer of the device breaks off ({type(error).__name__})") from None


def parse_url(url: str) -> DeviceUrl:
    """Return port and target of an http URL; raise `InvalidAnswer` for another one."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidAnswer(f"{url[:80]!r} is no URL") from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme != "http" or not parts.hostname or port == 0 or not _VISIBLE.fullmatch(target):
        raise InvalidAnswer(f"{url[:80]!r} is no address of a service over HTTP")
    return DeviceUrl(port or _DEFAULT_PORT, target)


def _head(host: str, there: DeviceUrl, size: int) -> bytes:
    name = f"[{host.partition('%')[0]}]" if ":" in host else host
    return (
        f"POST {there.target} HTTP/1.1\r\nHost: {name}:{there.port}\r\nUser-Agent: postscan\r\nAccept: */*\r\n"
        f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    ).encode()


def _whole(pieces: Iterable[bytes], largest: int) -> bytes:
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > largest:
            raise InvalidAnswer(f"the answer of the device has more than {largest} bytes")
    return bytes(data)


def _read_body(status: int, data: bytes) -> Answer:
    """Return the answer in *data*, whatever its status; an envelope is judged first (WSS-046)."""
    successful = 200 <= status < 300
    if successful and not data.strip():
        return envelope.empty_answer()
    try:
        return envelope.read_answer(data)
    except InvalidAnswer:
        if successful:
            raise
        raise InvalidAnswer(f"the device answered with the HTTP status {status}") from None
