"""The head of an HTTP request: a limit on its size, a deadline, and who sent it, which uvicorn does not have.

Leans on a few methods of uvicorn's httptools protocol, so uvicorn is pinned to a minor version, and
`tests/soap/http/test_head_limits.py` holds the two together. What stands around the chunks of a body counts like a
head: the parser keeps fields that follow the last chunk, however many. A slow body is not this module's business.
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
    """Return the protocol class whose clients have *head_seconds* for the head of each request."""
    return type("HeadProtocol", (_HeadProtocol,), {"head_seconds": head_seconds})


class _HeadProtocol(HttpToolsProtocol):
    head_seconds = 10.0

    _certificates: tuple[str, ...] = ()
    _timer: asyncio.TimerHandle | None = None
    _unfinished = 0
    _size = 0
    _fields = 0

    def connection_made(self, transport: Any) -> None:
        """Start the clock at once: a peer that connects and says nothing is late, too."""
        super().connection_made(transport)
        self._certificates = _verified(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes that go on and on without becoming a head or a piece of a body."""
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > HEAD_BYTES:
            self._cut(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin a new head; put the client's certificate where ASGI's `tls` extension has it."""
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
        """Count one field, of the head or behind the last chunk."""
        self._fields += 1
        self._size += len(name) + len(value) + 4
        self._check_size()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the clock: the head is here. One that is too large never reaches the application."""
        self._disarm()
        self._check_size()
        self._unfinished = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Note that a piece of the body is complete."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        self._unfinished = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP, unless the answer has been given."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _check_size(self) -> None:
        if self._fields > HEAD_FIELDS or self._size > HEAD_BYTES:
            self._cut(_TOO_LARGE)
            raise ValueError("the request's head is too large")  # ends the parser, and with it this connection

    def _arm(self) -> None:
        self._disarm()
        self._timer = self.loop.call_later(self.head_seconds, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        self._cut(_TOO_SLOW)

    def _cut(self, answer: bytes) -> None:
        self._disarm()
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def _verified(transport: Any) -> tuple[str, ...]:
    """Return the certificate of the client in PEM form, if it has shown one that OpenSSL has verified."""
    connection = transport.get_extra_info("ssl_object")
    certificate = connection.getpeercert(binary_form=True) if connection is not None else None
    return (ssl.DER_cert_to_PEM_cert(certificate),) if certificate else ()
