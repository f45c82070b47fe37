"""Size limit and deadline for the head of an HTTP request, and the client certificate, which uvicorn lacks.

The class overrides methods of uvicorn's httptools protocol, so uvicorn is pinned to a minor version;
`tests/soap/http/test_head_limits.py` fails if they no longer fit. Bytes around the chunks of a body count as head
bytes, since the parser keeps any number of fields behind the last chunk. `postscan.soap.http.body` limits slow bodies.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES: Final = 16 * 1024
HEAD_FIELDS: Final = 100

_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def protocol(head_seconds: float) -> type[HttpToolsProtocol]:
    """Return the protocol class that gives clients *head_seconds* seconds for the head of each request."""
    return type("HeadProtocol", (_HeadProtocol,), {"head_seconds": head_seconds})


class _HeadProtocol(HttpToolsProtocol):
    head_seconds = 10.0

    _certificates: tuple[str, ...] = ()
    _timer: asyncio.TimerHandle | None = None
    _unfinished = 0
    _size = 0
    _fields = 0

    def connection_made(self, transport: Any) -> None:
        """Start the timer at once, so that a peer that sends nothing is disconnected as well."""
        super().connection_made(transport)
        self._certificates = _verified(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes since the last complete head or piece of a body."""
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > HEAD_BYTES:
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin a new head; put the client's certificate into the `tls` extension of the ASGI scope."""
        super().on_message_begin()
        extensions: dict[Any, Any] = {"tls": {"client_cert_chain": self._certificates}}
        self.scope["extensions"] = extensions
        self._fields, self._size = 0, 0
        if self._timer is None:
            self._arm()

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._size += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count one field of the head or of the trailer."""
        self._fields += 1
        self._size += len(name) + len(value) + 4
        self._check_size()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the timer, and refuse a head that is too large before the application is called."""
        self._disarm()
        self._check_size()
        self._unfinished = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Reset the byte count: a piece of the body is complete."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Reset the byte count: the request is complete."""
        self._unfinished = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Send 400 for bytes that are no HTTP, unless a response was sent already."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _check_size(self) -> None:
        if self._fields > HEAD_FIELDS or self._size > HEAD_BYTES:
            self._refuse(_TOO_LARGE)
            raise ValueError("the head of the request is too large")  # ends the parser, and so the connection

    def _arm(self) -> None:
        self._disarm()
        self._timer = self.loop.call_later(self.head_seconds, self._time_out)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        self._timer = None
        self._refuse(_TOO_SLOW)

    def _refuse(self, response: bytes) -> None:
        self._disarm()
        if not self.transport.is_closing():
            self.transport.write(response)
            self.transport.close()


def _verified(transport: Any) -> tuple[str, ...]:
    """Return the client certificate that OpenSSL has verified, in PEM form; empty if there is none."""
    connection = transport.get_extra_info("ssl_object")
    certificate = connection.getpeercert(binary_form=True) if connection is not None else None
    return (ssl.DER_cert_to_PEM_cert(certificate),) if certificate else ()
