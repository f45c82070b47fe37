"""The head of an HTTP request: a limit on its size and a deadline, which uvicorn does not have.

Leans on four methods of uvicorn's httptools protocol, so uvicorn is pinned to a minor version, and
`tests/soap/test_http_head.py` holds the two together. A slow body is not this module's business.
"""

from __future__ import annotations

import asyncio
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

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _unfinished = 0
    _size = 0
    _fields = 0

    def connection_made(self, transport: Any) -> None:
        """Start the clock at once: a peer that connects and says nothing is late, too."""
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head that goes on and on without becoming complete."""
        if self._in_head:
            self._unfinished += len(data)
        super().data_received(data)
        if self._in_head and self._unfinished > HEAD_BYTES:
            self._cut(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin a new head."""
        super().on_message_begin()
        self._in_head, self._fields, self._size = True, 0, 0
        if self._timer is None:
            self._arm()

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._size += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count one field."""
        self._fields += 1
        self._size += len(name) + len(value) + 4
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the clock: the head is here. One that is too large never reaches the application."""
        self._disarm()
        if self._fields > HEAD_FIELDS or self._size > HEAD_BYTES:
            self._cut(_TOO_LARGE)
            raise ValueError("the request's head is too large")  # ends the parser, and with it this connection
        self._in_head, self._unfinished = False, 0
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP, unless the answer has been given."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

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
