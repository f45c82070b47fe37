"""Documents that no client should take: a web page, entities, no end, a compressed bomb."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator
from typing import Final

from postscan.cli.device.escl import settings_reader

HTML: Final = b"<!DOCTYPE html><html><head><title>Embedded Web Server</title></head><body>Home</body></html>"
BOMB: Final = (
    b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%b">' % (code, b"&%c;" % (code - 1) * 10) for code in range(ord("b"), ord("k")))
    + b'<!ENTITY z SYSTEM "file:///etc/hostname">]><scan:ScannerCapabilities xmlns:scan="%b">&j;&z;'
    b"</scan:ScannerCapabilities>" % settings_reader.SCAN.encode()
)
COMPRESSED_BOMB_BYTES: Final = 256 * 1024 * 1024


def endless_document() -> Iterator[bytes]:
    """Yield capabilities that go on for ever."""
    yield b'<scan:ScannerCapabilities xmlns:scan="%b">' % settings_reader.SCAN.encode()
    while True:
        yield b"<scan:Padding>" + b"x" * 16_000 + b"</scan:Padding>"


@functools.cache
def compressed_bomb() -> bytes:
    """Compress a document of `COMPRESSED_BOMB_BYTES`, in pieces."""

    packer = zlib.compressobj(9, wbits=31)
    piece = b" " * (1024 * 1024)
    data = packer.compress(b"<scan:ScannerCapabilities>")
    data += b"".join(packer.compress(piece) for _ in range(COMPRESSED_BOMB_BYTES // len(piece)))
    return data + packer.flush()
