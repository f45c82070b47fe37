"""Reads requests and writes replies on one connection.

Source: RFC 9112; bodies above `LARGEST_BODY` are answered 413.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

from postscan.cli.device.escl.http.messages import EsclReply, EsclRequest
from postscan.cli.device.escl.http.server import SILENCE, BoundedHttpServer

LARGEST_BODY: Final = 64 * 1024
PIECE: Final = 16 * 1024
TICK: Final = 0.05  # seconds between two looks at a client that is kept waiting


class EsclHandler(BaseHTTPRequestHandler):
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
        reply = self.server.respond(request)
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
