"""PNG: chunk after chunk to IEND, each with its checksum; bytes behind IEND are padding.

Source: W3C, PNG (Third Edition), sections 5.3 to 5.6.
"""

from __future__ import annotations

import zlib

from postscan.core.filters.source.completeness.window import Cut, Unclear, Window

_SIGNATURE = 8  # bytes
_HEAD = 8  # bytes before the data of a chunk: length and type
_CHECKSUM = 4


def check(window: Window) -> None:
    """Return if the file is whole; raise `Cut` or `Unclear`."""
    position, types = _SIGNATURE, set[bytes]()
    while b"IEND" not in types:
        if position == window.size:
            raise Cut("it has no end mark (IEND)")
        head = window.at(position, _HEAD)
        end = position + _HEAD + int.from_bytes(head[:4], "big")
        window.require(end + _CHECKSUM)
        _check_checksum(window, position, end)
        if not types and head[4:] != b"IHDR":
            raise Unclear("it does not begin with IHDR")
        types |= {head[4:]} & {b"IHDR", b"IDAT", b"IEND"}
        position = end + _CHECKSUM
    if b"IDAT" not in types:
        raise Unclear("it has no pixels (IDAT)")


def _check_checksum(window: Window, begin: int, end: int) -> None:
    """Raise `Cut` unless the checksum at *end* is that of the chunk at *begin*: other bytes are in place of its own."""
    checksum = 0
    for block in window.blocks(begin + 4, end):
        checksum = zlib.crc32(block, checksum)
    if window.at(end, _CHECKSUM) != checksum.to_bytes(_CHECKSUM, "big"):
        raise Cut(f"the checksum of its chunk at byte {begin} is wrong")
