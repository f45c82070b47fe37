"""The bytes of a connection, cut into LDAP messages; no I/O.

A message is a SEQUENCE in BER: the tag 0x30, its length, its content. Only the length is read here, so that a message
that is too large is refused before it is received. Source: RFC 4511 section 5.1.
"""

from __future__ import annotations

from typing import Final

_TAG: Final = 0x30
_LONG: Final = 0x80
_MOST_LENGTH_BYTES: Final = 4


class MessageSplitter:
    """Bytes in, whole messages out, however the bytes were cut. `largest` is in bytes, of one message."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are whole now; raise `ValueError` for one that is none, or too large."""
        self._buffer += data
        found = []
        while (size := self._size()) is not None and size <= len(self._buffer):
            found.append(bytes(self._buffer[:size]))
            del self._buffer[:size]
        return found

    def _size(self) -> int | None:
        """Return the size of the first message; None if its head is not whole."""
        head = self._buffer
        if head and head[0] != _TAG:
            raise ValueError("what came is not LDAP")
        if len(head) < 2:
            return None
        if head[1] < _LONG:
            return 2 + head[1]
        count = head[1] - _LONG
        if not 1 <= count <= _MOST_LENGTH_BYTES:
            raise ValueError("what came is not LDAP")
        if len(head) < 2 + count:
            return None
        size = 2 + count + int.from_bytes(head[2 : 2 + count], "big")
        if size > self._largest:
            raise ValueError(f"a message has {size:,} bytes; expected at most {self._largest:,}")
        return size
