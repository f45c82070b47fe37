"""The scanner's HTTP server: bounded, and able to send answers that break.

A handler returns an `EsclReply`; this module writes it, in pieces, cut, slowly or never, as the reply says.
"""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, Final

CONNECTIONS: Final = 64
PER_PEER: Final = 48
SILENCE: Final = 60.0  # seconds that a connection may be idle
LARGEST_BODY: Final = 64 * 1024
PIECE: Final = 16 * 1024
TICK: Final = 0.05  # seconds between two looks at a client that is kept waiting

_NOT_SENT: Final = -1


@dataclass(frozen=True, slots=True)
class EsclRequest:
    """A request as it came. `gone` tells whether the client has closed its connection since."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    secure: bool
    on_loopback: bool
    arrived: float
    gone: Callable[[], bool]


@dataclass(slots=True)
class EsclReply:
    """An answer, and how it is sent.

    `stream` replaces `body`, and is sent in chunks. After `cut_at` bytes of the body the connection is closed, or, if
    `stalls`, left silent. `seconds` is how long a body takes. `interrupted` closes the connection in the middle;
    `sent` is called with whether the client was sent all of it.
    """

    status: int
    body: bytes = b""
    media_type: str = "text/xml"
    headers: tuple[tuple[str, str], ...] = ()
    stream: Iterable[bytes] | None = None
    chunked: bool = False
    cut_at: int = _NOT_SENT
    stalls: bool = False
    seconds: float = 0.0
    delay: float = 0.0
    silent: bool = False
    """No answer at all, until the client closes."""
    interrupted: Callable[[], bool] = lambda: False
    if_interrupted: EsclReply | None = None
    """The answer if that happens during `delay`."""
    sent: Callable[[bool], None] = lambda _whole: None


class BoundedHttpServer(ThreadingTCPServer):
    """One listening socket, with or without TLS; at most `CONNECTIONS` connections, `PER_PEER` from one address."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(
        self,
        address: tuple[str, int],
        answer: Callable[[EsclRequest], EsclReply],
        *,
        server_name: Callable[[], str],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.answer = answer
        self.server_name = server_name
        self.tls = tls
        self.stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._peers: Counter[str] = Counter()
        self._open: set[socket.socket] = set()
        super().__init__(address, _EsclHandler)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the listening socket and all connections; also of a server that was never started."""
        self.stopping.set()
        if self._thread is not None:
            self.shutdown()
        self.server_close()
        self.disconnect()

    def disconnect(self) -> None:
        """Close all connections; the server goes on listening."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Refuse a connection beyond the limits, without an answer."""
        with self._lock:
            peer = str(client_address[0])
            if self._peers.total() >= CONNECTIONS or self._peers[peer] >= PER_PEER:
                return False
            self._peers[peer] += 1
            self._open.add(request)
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection; the handshake of TLS is part of it, so that a silent client blocks no other."""
        connection = request
        try:
            request.settimeout(SILENCE)
            if self.tls is not None:
                connection = self.tls.wrap_socket(request, server_side=True)
                with self._lock:
                    self._open.add(connection)
            self.finish_request(connection, client_address)
        except (OSError, ValueError):  # the client's connection, not ours
            pass
        finally:
            with self._lock:
                peer = str(client_address[0])
                self._peers[peer] -= 1
                self._peers += Counter()  # drops peers without a connection
                self._open -= {request, connection}
            self.shutdown_request(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a broken connection is usual here."""


class _EsclHandler(BaseHTTPRequestHandler):
    """Reads requests and writes replies on one connection."""

    protocol_version = "HTTP/1.1"
    timeout = SILENCE
    disable_nagle_algorithm = True
    server: BoundedHttpServer

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def version_string(self) -> str:
        return self.server.server_name()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing; `SimulatedEsclScanner.exchanges` has the requests."""

    def _serve(self) -> None:
        arrived = time.monotonic()
        body = self._body()
        if body is None:
            self._write(EsclReply(413, b"too large", "text/plain"))
            self.close_connection = True
            return
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        local = ipaddress.ip_address(str(self.connection.getsockname()[0]).partition("%")[0])
        request = EsclRequest(
            *(self.command, path, query, headers, body),
            secure=self.server.tls is not None,
            on_loopback=local.is_loopback,
            arrived=arrived,
            gone=self._gone,
        )
        reply = self.server.answer(request)
        whole = False
        try:
            if reply.silent or not self._pause(reply.delay, reply.interrupted):
                self._pause(float("inf"))
                self.close_connection = True
            elif reply.if_interrupted is not None and reply.interrupted():
                self._write(reply.if_interrupted)
            else:
                whole = self._write(reply)
        finally:
            reply.sent(whole)

    # --- reading

    def _body(self) -> bytes | None:
        """Return the body, or None if it is larger than `LARGEST_BODY`, or its length is no number."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunks()
        text = self.headers.get("Content-Length", "0").strip()
        if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) > LARGEST_BODY:
            return None
        return self.rfile.read(int(text))

    def _chunks(self) -> bytes | None:
        body = b""
        while True:
            size = self.rfile.readline(64).partition(b";")[0].strip()
            try:
                length = int(size, 16)
            except ValueError:
                return None
            if length < 0 or len(body) + length > LARGEST_BODY:
                return None
            if length == 0:
                while self.rfile.readline(1024).strip():
                    pass
                return body
            body += self.rfile.read(length)
            self.rfile.readline(8)

    def _gone(self) -> bool:
        """Tell whether the client has closed, or the server stops; what the client sends meanwhile stays unread."""
        if self.server.stopping.is_set():
            return True
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            if not readable or isinstance(self.connection, ssl.SSLSocket):
                # TLS cannot peek: any byte before the answer is a close, since no client pipelines here.
                return bool(readable)
            return not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def _pause(self, seconds: float, interrupted: Callable[[], bool] = lambda: False) -> bool:
        """Wait, until *interrupted* at most; return False as soon as the client has gone."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not interrupted():
            if self._gone():
                return False
            self.server.stopping.wait(min(left, TICK))
        return True

    # --- writing

    def _write(self, reply: EsclReply) -> bool:
        """Write the reply; return whether all of it was sent. Raise `OSError` if the client closes."""
        chunked = reply.chunked or reply.stream is not None
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if reply.body or reply.stream is not None:
            self.send_header("Content-Type", reply.media_type)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        pieces = reply.stream if reply.stream is not None else _pieces(reply)
        for piece, ends in _cut(pieces, reply.cut_at):
            if reply.interrupted():
                self.close_connection = True
                return False
            if piece:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked and not ends else piece)
            if ends:
                if reply.stalls:
                    self._pause(float("inf"))
                self.close_connection = True
                return False
            if reply.seconds and not self._pause(reply.seconds * len(piece) / max(len(reply.body), 1)):
                self.close_connection = True
                return False
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        return True


def _pieces(reply: EsclReply) -> Iterable[bytes]:
    size = max(1, min(PIECE, len(reply.body) // 20)) if reply.seconds else PIECE
    return (reply.body[at : at + size] for at in range(0, len(reply.body), size))


def _cut(pieces: Iterable[bytes], at: int) -> Iterable[tuple[bytes, bool]]:
    """Yield each piece, and whether the connection ends behind it."""
    if at == 0:
        yield b"", True
        return
    left = at
    for piece in pieces:
        if at < 0:
            yield piece, False
        elif left > len(piece):
            left -= len(piece)
            yield piece, False
        else:
            yield piece[:left], True
            return
