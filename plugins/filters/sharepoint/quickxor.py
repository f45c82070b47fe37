"""QuickXorHash: the digest by which SharePoint Online and OneDrive for Business identify the content of files.

Each byte is XORed into a ring of 160 bits, 11 bits further than the byte before it; finally the size is XORed into the
last 8 of its 20 bytes. 160 steps end where they began, so all rows of 160 bytes are XORed first, as one number, and the
result alone is spread over the ring.

The digest detects transmission errors. It does not detect deliberate changes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final

_RING: Final = 160
_STEP: Final = 11
_ROW: Final = 8 * _RING  # bits in a row of 160 bytes


def quick_xor(pieces: Iterable[bytes]) -> str:
    """Return the QuickXorHash of a file's bytes in base64, in the form of Microsoft Graph."""
    size, row, rest = 0, 0, b""
    for piece in pieces:
        size += len(piece)
        whole = rest + piece
        end = len(whole) - len(whole) % _RING
        row ^= _folded(int.from_bytes(whole[:end], "little"), end // _RING)
        rest = whole[end:]
    row ^= int.from_bytes(rest, "little")
    return base64.b64encode((_spread(row) ^ (size << 96)).to_bytes(20, "little")).decode()


def _folded(rows: int, count: int) -> int:
    """Return the XOR of *count* rows."""
    while count > 1:
        count = (count + 1) // 2
        rows = (rows & ((1 << count * _ROW) - 1)) ^ (rows >> count * _ROW)
    return rows


def _spread(row: int) -> int:
    """Return the ring for the 160 bytes of a row."""
    ring = 0
    for place, byte in enumerate(row.to_bytes(_RING, "little")):
        turned = byte << (place * _STEP % _RING)
        ring ^= turned & ((1 << _RING) - 1) | turned >> _RING
    return ring
