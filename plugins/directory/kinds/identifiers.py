"""GUIDs of scan processes, as `msImaging-PSPIdentifier` may have them.

The layout of its bytes is not published. Source: scan-process.md section 7 and P-2 (PSP-042).
"""

from __future__ import annotations

import uuid

GUID = 16  # bytes


def layouts(identifier: str) -> tuple[bytes, ...]:
    """Return all values that mean this GUID: Windows' layout first, then big-endian, then texts.

    Raises `ValueError` for a text that is no GUID.
    """
    guid = uuid.UUID(identifier)
    text = str(guid)
    texts = (text, text.upper(), f"{{{text}}}", f"{{{text.upper()}}}")
    return (guid.bytes_le, guid.bytes, *(one.encode() for one in texts))


def identifier_of(value: bytes) -> str:
    """Return the GUID of a stored value in upper case, bytes read in Windows' layout.

    Raises `ValueError` for a value that is none. A value in big-endian layout cannot be told from one in Windows'.
    """
    if len(value) == GUID:
        return str(uuid.UUID(bytes_le=value)).upper()
    try:
        return str(uuid.UUID(value.decode("ascii").strip())).upper()
    except ValueError:
        raise ValueError(f"{value[:40]!r} is not the identifier of a scan process; expected a GUID") from None
