"""The text of a file of a scan process for a text control, and the bytes of what a browser submits of it. Pure.

A browser submits line ends as CRLF, whatever the file has; a text that is submitted as it was shown is the file itself,
byte for byte.
"""

from __future__ import annotations

import re
from typing import Final

_LINE_END: Final = re.compile("\r\n|\r|\n")
_MARKS: Final = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def shown(data: bytes | None) -> str | None:
    """Return the text of a file, "" for one that is missing; None if it is neither UTF-8 nor UTF-16 with its mark."""
    mark, encoding = _encoding(data or b"")
    try:
        return (data or b"")[len(mark) :].decode(encoding)
    except UnicodeDecodeError:
        return None


def submitted(text: str, before: bytes | None) -> bytes | None:
    """Return the file of a submitted text, which was shown for the file *before*; None for no file and no text.

    The encoding and its mark stay. Line ends are those of the file, LF if it has more than one kind. Raises
    `UnicodeEncodeError` for a text that no encoding has.
    """
    old = shown(before) or ""
    if before is not None and _LINE_END.sub("\n", text) == _LINE_END.sub("\n", old):
        return before
    if before is None and not text:
        return None
    kinds = set(_LINE_END.findall(old))
    end = kinds.pop() if len(kinds) == 1 else "\n"
    mark, encoding = _encoding(before or b"")
    return mark + _LINE_END.sub(end, text).encode(encoding)


def _encoding(data: bytes) -> tuple[bytes, str]:
    """Return the byte order mark of a file, or nothing, and its encoding."""
    return next(((mark, name) for mark, name in _MARKS.items() if data.startswith(mark)), (b"", "utf-8"))
