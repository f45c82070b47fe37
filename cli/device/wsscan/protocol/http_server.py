"""HTTP server of the simulated scanner: one handler for all requests, and a switch that cuts every connection.

A connection that is idle for a minute is closed; so is one too many. Bodies are limited to 1 MiB.
Source: dpws.md section 5; ws-scan.md section 2.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

SOAP_TYPE: Final = "application/soap+xml; charset=utf-8"

_MAX_BYTES: Final = 1 << 20
_MAX_CONNECTIONS: Final = 64
_IDLE_SECONDS: Final = 60.0


class ConnectionDropped(Exception):
    """The scanner closes the connection without (the rest of) its response."""


@dataclass(frozen=True)
class WsdHttpRequest:
    """A request: method, path, body, address of the client; `connection` is its socket."""

    method: str
    path: str
    data: bytes
    peer: str
    connection: socket.socket
    off: threading.Event

    @property
    def local(self) -> str:
        """The address of this machine at which the client has reached it."""
        return str(self.connection.getsockname()[0]).removeprefix("::ffff:")

    def wait(self, seconds: float | None = None) -> None:
        """Wait for so many seconds, or for ever; raise `ConnectionDropped` if the client goes or the power does."""
        left = float("inf") if seconds is None else seconds
        while left > 0:
            pause = min(0.05, left)
            if self.off.wait(pause) or self._is_gone():
                raise ConnectionDropped
            left -= pause

    def _is_gone(self) -> bool:
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True


@dataclass(frozen=True)
class WsdHttpResponse:
    """A response; a body that is an iterator is sent in chunks as it comes."""

    status: int = 200
    body: bytes | Iterator[bytes] = b""
    type: str = SOAP_TYPE
    afterwards: Callable[[], object] | None = None
    """What is called when the response was sent."""


HandleRequest = Callable[[WsdHttpRequest], WsdHttpResponse]


class WsdHttpServer:
    """An HTTP server at *host* and *port* that can be cut off and started again at the same port."""

    def __init__(self, host: str, port: int, handle: HandleRequest) -> None:
        self._host = host
        self.port = port
        self._handle = handle
        self._server: _ScannerSocket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen; raise `OSError` if the port is taken."""
        self._server = _ScannerSocket(self._host, self.port, self._handle)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="wsd-http", daemon=True
        )
        self._thread.start()

    def stop(self, drain: float = 0.0) -> None:
        """Close the port and every connection, as without power; responses get *drain* seconds to be sent."""
        server, thread = self._server, self._thread
        self._server = None
        if server is None or thread is None:
            return
        server.shutdown()
        thread.join()
        server.server_close()
        server.wait_for_responses(drain)
        server.off.set()
        server.cut()


class _ScannerSocket(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, handle: HandleRequest) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.handle_http = handle
        self.off = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._handling = 0
        super().__init__((host, port), _ScannerConnection)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            full = len(self._open) >= _MAX_CONNECTIONS
            if not full:
                self._open.add(request)
        if full:
            super().shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    @contextlib.contextmanager
    def handling(self) -> Iterator[None]:
        """Count a request from its first byte to the last of its response."""
        with self._lock:
            self._handling += 1
        try:
            yield
        finally:
            with self._idle:
                self._handling -= 1
                self._idle.notify_all()

    def wait_for_responses(self, seconds: float) -> None:
        """Wait until no request is handled, at most so long."""
        with self._idle:
            self._idle.wait_for(lambda: not self._handling, seconds)

    def cut(self) -> None:
        """Shut every connection down; its thread notices and ends."""
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # it is closed already

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a broken connection; report any other error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _ScannerConnection(BaseHTTPRequestHandler):
    """One connection."""

    server: _ScannerSocket
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        """Read one request and send its response."""
        with self.server.handling():
            self._handle_post()

    def _handle_post(self) -> None:
        data = self._body()
        if data is None:
            self.close_connection = True
            self._send(WsdHttpResponse(413))
            return
        request = WsdHttpRequest(
            self.command, self.path, data, str(self.client_address[0]), self.connection, self.server.off
        )
        try:
            self._send(self.server.handle_http(request))
        except ConnectionDropped:
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        """Refuse: the scanner has no page."""
        self._send(WsdHttpResponse(405))

    def _send(self, response: WsdHttpResponse) -> None:
        self.send_response_only(response.status)
        if response.body or response.status == 200:
            self.send_header("Content-Type", response.type)
        if isinstance(response.body, bytes):
            self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            self.wfile.write(response.body)
        else:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in response.body:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        if response.afterwards is not None:
            response.afterwards()

    def _body(self) -> bytes | None:
        """Return the body; None if it is too large or has no valid length."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdecimal()) or int(length) > _MAX_BYTES:
            return None
        return self.rfile.read(int(length))

    def _chunks(self) -> bytes | None:
        body = b""
        while True:
            try:
                length = int(self.rfile.readline(100).partition(b";")[0], 16)
            except ValueError:
                return None
            if length < 0 or len(body) + length > _MAX_BYTES:
                return None
            body += self.rfile.read(length)
            self.rfile.readline(100)
            if length == 0:
                return body

    def log_message(self, format: str, *_: object) -> None:
        """Print nothing: the scanner has its own log."""
