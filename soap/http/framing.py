"""Where a request may end within the bytes that a client sends; no I/O.

llhttp parses all the bytes that it gets, and httptools cannot stop it between two requests. A client that sends
requests without reading the responses would so fill the memory with parsed requests. `RequestCutter` therefore returns
pieces none of which goes beyond the end of a request: the protocol passes the next piece to the parser when the
response to the request has been sent.

A request ends with the CRLF CRLF of its head, of its last chunk or of its trailer section, or with the last byte of
its Content-Length (RFC 9112 sections 2.1, 6 and 7.1). A piece that ends elsewhere does no harm. Pieces outside a body
of known length are short, since a few bytes of them cost as much as many bytes of such a body.
"""

from __future__ import annotations

from typing import Final

PIECE: Final = 4096
"""Most bytes of a piece outside a body of known length."""

_END: Final = b"\r\n\r\n"


class RequestCutter:
    """Cuts the bytes of one connection.

    Pass the head's Content-Length to `expect` before the first byte of the body is cut; not for a chunked body.
    """

    def __init__(self) -> None:
        self.left = 0
        """Bytes of a body of known length that are not cut yet."""
        self._tail = b""

    def expect(self, length: int) -> None:
        """Let the next *length* bytes be a body that is not chunked."""
        self.left = length

    def cut(self, data: bytes, at: int) -> int:
        """Return where the piece that begins at position *at* of *data* ends."""
        if self.left:
            end = min(at + self.left, len(data))
            self.left -= end - at
            self._tail = b""
            return end
        end = self._end(data, at)
        self._tail = (self._tail + data[max(at, end - len(_END)) : end])[1 - len(_END) :]
        return end

    def _end(self, data: bytes, at: int) -> int:
        """Return the position after the first CRLF CRLF, which may have begun in the piece before; else the limit."""
        limit = min(len(data), at + PIECE)
        found = (self._tail + data[at : min(limit, at + len(_END) - 1)]).find(_END)
        if found >= 0:
            return at + found + len(_END) - len(self._tail)
        found = data.find(_END, at, limit)
        return found + len(_END) if found >= 0 else limit
