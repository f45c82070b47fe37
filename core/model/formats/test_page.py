"""A generated test page: black bars on white."""

from __future__ import annotations

import struct
import zlib
from typing import Final

USER: Final = "S-1-5-21-1-2-3-1001"
"""The SID of the user of a test page where nothing names another one."""


def png(bars: int, width: int = 620, height: int = 877) -> bytes:
    """Return an A4 page at 75 dpi with this many black bars on white, as PNG."""
    margin = b"\xff" * (width // 10)
    white = b"\0" + b"\xff" * width
    black = b"\0" + margin + b"\0" * (width - 2 * len(margin)) + margin
    rows = [
        black if row % (height // 8) < height // 24 and row < bars * (height // 8) else white for row in range(height)
    ]
    dots = round(75 / 0.0254)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", struct.pack("!2I5B", width, height, 8, 0, 0, 0, 0)),
            (b"pHYs", struct.pack("!2IB", dots, dots, 1)),
            (b"IDAT", zlib.compress(b"".join(rows))),
            (b"IEND", b""),
        )
    )
