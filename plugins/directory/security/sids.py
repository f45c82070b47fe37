"""SIDs as bytes and as text.

Bytes: the revision (1), the number of sub-authorities, the authority in 6 bytes, big-endian, then each sub-authority in
4 bytes, little-endian. Source: [MS-DTYP] sections 2.4.2.1 and 2.4.2.2; scan-process.md section 7.2.
"""

from __future__ import annotations

import re
import struct
from typing import Final

MOST_SUB_AUTHORITIES: Final = 15
HEAD: Final = 8  # bytes before the sub-authorities

_TEXT: Final = re.compile(r"S-1-([0-9]{1,10}|0x[0-9A-Fa-f]{1,12})((?:-[0-9]{1,10}){1,15})")
_BELOW: Final = 1 << 32


def sid_text(data: bytes) -> str:
    """Return the text of a SID, as `S-1-5-21-...`; raise `ValueError` for bytes that are none."""
    if len(data) < HEAD or data[0] != 1 or not 1 <= data[1] <= MOST_SUB_AUTHORITIES or len(data) != size(data):
        raise ValueError(f"{data[:80].hex()} is not a SID")
    authority = int.from_bytes(data[2:HEAD], "big")
    named = str(authority) if authority < _BELOW else f"0x{authority:012x}"
    return "-".join(["S-1", named, *map(str, struct.unpack(f"<{data[1]}I", data[HEAD:]))])


def sid_bytes(text: str) -> bytes:
    """Return the bytes of a SID; raise `ValueError` for a text that is none."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:80]!r} is not a SID; expected one such as S-1-5-21-1-2-3-1104")
    authority = int(found[1], 16 if found[1].startswith("0x") else 10)
    numbers = [int(one) for one in found[2].split("-")[1:]]
    if any(number >= _BELOW for number in numbers) or (authority >= _BELOW and not found[1].startswith("0x")):
        raise ValueError(f"{text[:80]!r} is not a SID: a number has more than 32 bits")
    return bytes([1, len(numbers)]) + authority.to_bytes(6, "big") + struct.pack(f"<{len(numbers)}I", *numbers)


def size(data: bytes) -> int:
    """Return the number of bytes of a SID that begins like this; raise `ValueError` if two bytes are missing."""
    if len(data) < 2:
        raise ValueError("a SID breaks off")
    return HEAD + 4 * data[1]
