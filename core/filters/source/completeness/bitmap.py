"""BMP: the rows of pixels, or the compressed image, inside the file; and a colour profile behind them.

Source: [MS-WMF] section 2.2.2.9 and the sections behind it (device-independent bitmaps); the structures
BITMAPFILEHEADER and BITMAPV5HEADER of the Windows API. The headers of OS/2 are those that Pillow reads.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from postscan.core.filters.source.completeness.window import Unclear, Window

_FILE_HEADER: Final = 14  # bytes
_CORE, _SHORTEST, _V5 = 12, 16, 124  # bytes of the header behind it, by its version
_WINDOWS: Final = (40, 52, 56, 108, _V5)
_ROWS: Final = (0, 3, 6, 11)
"""The compressions whose size follows from width and height: none, with masks (two forms), CMYK."""
_OS2: Final = -1
"""Any compression of OS/2: the numbers have other meanings there."""
_DEPTHS: Final = (1, 2, 4, 8, 16, 24, 32, 64)
_PROFILES: Final = (b"KNIL", b"DEBM")  # the profile lies in the file, or a name of one does


class _Bitmap(NamedTuple):
    width: int
    height: int
    depth: int  # bits of a pixel
    compression: int
    size: int  # of the image in bytes; 0 where it follows from the others


def check(window: Window) -> None:
    """Return if the file is whole; raise `Cut` or `Unclear`."""
    file_size, pixels, header_size = struct.unpack("<2xI4xII", window.at(0, _FILE_HEADER + 4))
    bitmap = _bitmap(window, header_size)
    if not _bytes(bitmap) and file_size <= pixels:
        raise Unclear("neither header says how many bytes the compressed image has")
    if pixels < _FILE_HEADER + header_size:
        raise Unclear(f"its pixels begin at byte {pixels}, inside its header")
    window.require(pixels + (_bytes(bitmap) or file_size - pixels))
    if header_size == _V5:
        kind, offset, size = struct.unpack("<4s52xII", window.at(_FILE_HEADER + 56, 64))
        if kind in _PROFILES:
            window.require(_FILE_HEADER + offset + size)
    if file_size > window.size:
        raise Unclear(f"its header says that it has {file_size} bytes; its image ends within {window.size}")


def _bitmap(window: Window, header_size: int) -> _Bitmap:
    if header_size == _CORE:
        width, height, depth = struct.unpack("<HH2xH", window.at(_FILE_HEADER + 4, 8))
        return _Bitmap(width, height, depth, 0, 0)
    if not _SHORTEST <= header_size <= _V5:
        raise Unclear(f"its header has {header_size} bytes; expected 12, or 16 to 124")
    width, height, depth = struct.unpack("<ii2xH", window.at(_FILE_HEADER + 4, 12))
    compression = size = 0
    if header_size > _SHORTEST:
        compression, size = struct.unpack("<II", window.at(_FILE_HEADER + 16, 8))
    if header_size not in _WINDOWS and compression:
        compression = _OS2
    return _Bitmap(width, abs(height), depth, compression, size)


def _bytes(bitmap: _Bitmap) -> int:
    """Return the bytes of the image; 0 if this header does not say."""
    if bitmap.compression not in _ROWS:
        return bitmap.size
    if bitmap.width <= 0 or not bitmap.height or bitmap.depth not in _DEPTHS:
        raise Unclear(f"it has {bitmap.width} x {bitmap.height} pixels of {bitmap.depth} bits")
    return (bitmap.width * bitmap.depth + 31) // 32 * 4 * bitmap.height
