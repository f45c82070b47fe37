"""QuickXorHash: the digest by which SharePoint Online and OneDrive for Business know their files.

Each byte is XORed into a ring of 160 bits, 11 bits further than the byte before it; at last the size is XORed into the
last 8 of its 20 bytes. Since 160 steps lead round to where they began, all the rows of 160 bytes are XORed first, as
one number, and only what is left is spread over the ring.

It finds what a broken line does to a file. It is no defence against somebody who wants two files to look alike.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final

_RING: Final = 160
_STEP: Final = 11
_ROW: Final = 8 * _RING  # bits in a row of 160 bytes


def quick_xor(pieces: Iterable[bytes]) -> str:
    """Return the QuickXorHash of a file's bytes in base64, as Microsoft Graph spells it."""
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
    """Return the ring that the 160 bytes of a row make."""
    ring = 0
    for place, byte in enumerate(row.to_bytes(_RING, "little")):
        turned = byte << (place * _STEP % _RING)
        ring ^= turned & ((1 << _RING) - 1) | turned >> _RING
    return ring
