"""Names of files and folders, in whatever encoding a device sends them.

FTP has no encoding, and SFTP of version 3 none either. A path is kept as Python keeps file names: UTF-8, and each byte
that is none as a surrogate. So a reply repeats the bytes of the client. What people read is made from it here.

Source: RFC 2640 section 3.1; PEP 383.
"""

from __future__ import annotations

import unicodedata
from typing import Final

ENCODING: Final = "utf-8"
ERRORS: Final = "surrogateescape"

LONGEST: Final = 255
"""Characters of a name that people see; a longer one loses its middle and keeps its suffix."""


def readable(text: str) -> str:
    """Return a name as people read it: UTF-8, else Latin-1; composed, without control characters."""
    raw = text.encode(ENCODING, ERRORS)
    try:
        decoded = raw.decode(ENCODING)
    except UnicodeDecodeError:
        decoded = raw.decode("latin-1")
    composed = unicodedata.normalize("NFC", decoded)
    shown = "".join(c if c.isprintable() else "_" for c in composed)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 33]}~{shown[-32:]}"


def is_plain(line: str) -> bool:
    """Return whether a line of a client has no control character, which could end a line of a reply or of a listing."""
    return all(c >= " " and c != "\x7f" for c in line)


def one_line(text: str, most: int = 400) -> str:
    """Return text of an error as the one line of a reply."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:most]
