"""Look at the bytes of a document before it is parsed: its declaration, what precedes its root, its elements.

A method of `bytes` and a regular expression hold the interpreter's lock until they return: for 1 to 10 ms on a
megabyte, and the event loop stands still although they run in another thread. So everything here looks at pieces.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

PIECE: Final = 64 * 1024
"""Bytes that one call looks at: about 0.1 ms."""

LONGEST_DECLARATION: Final = 1024
"""Bytes in which an XML declaration has to end."""

MOST_ITEMS: Final = 1000
"""Comments and processing instructions before the root element."""

_BLANKS: Final = b" \t\r\n"
_DECLARATION_BEGIN: Final = re.compile(rb"<\?xml[ \t\r\n]")
_DECLARATION: Final = re.compile(rb"<\?xml[ \t\r\n][^>]*?\?>")
_ENCODING: Final = re.compile(rb"""[ \t\r\n]encoding[ \t\r\n]*=[ \t\r\n]*["']([^"']*)["']""")
_ITEMS: Final = {b"<!--": b"-->", b"<?": b"?>"}
_DOCUMENT_TYPE: Final = b"<!DOCTYPE"


def without_blanks(document: bytes) -> bytes:
    """Return a document without the blanks at its begin."""
    return document[_behind_blanks(document, 0) :]


def begins_declaration(document: bytes) -> bool:
    """Return whether a document begins with an XML declaration, which may have no end."""
    return _DECLARATION_BEGIN.match(document) is not None


def declaration(document: bytes) -> re.Match[bytes] | None:
    """Return the XML declaration at the begin of a document; None if it does not end within `LONGEST_DECLARATION`."""
    return _DECLARATION.match(document, 0, LONGEST_DECLARATION)


def encoding(declared: bytes) -> bytes | None:
    """Return the encoding that an XML declaration names."""
    found = _ENCODING.search(declared)
    return found[1] if found else None


def from_utf16(data: bytes) -> bytes:
    """Return a text in UTF-16, with its byte order mark, as UTF-8; raise `UnicodeError`."""
    decoder = codecs.getincrementaldecoder("utf-16")()
    decoded = [decoder.decode(data[at : at + PIECE]).encode() for at in range(0, len(data), PIECE)]
    decoder.decode(b"", final=True)
    return b"".join(decoded)


def refusal(document: bytes) -> str:
    """Return why a document is refused that begins like this; "" if it may be parsed."""
    at = 0
    for _ in range(MOST_ITEMS + 1):
        at = _behind_blanks(document, at)
        item = next(((begin, end) for begin, end in _ITEMS.items() if document.startswith(begin, at)), None)
        if item is None:
            return "a document type is not allowed" if document.startswith(_DOCUMENT_TYPE, at) else ""
        begin, end = item
        at = _behind(document, end, at + len(begin))
        if at < 0:
            return ""  # not well-formed, says the parser
    return f"more than {MOST_ITEMS} comments and processing instructions before the root element"


def elements(document: bytes) -> Iterator[int]:
    """Yield, piece by piece, how many elements begin in it at most.

    Each element has a `<` that no slash, exclamation mark or question mark follows. Text of a comment or of a CDATA
    section that has one counts as well.
    """
    for at in range(0, len(document), PIECE):
        end = at + PIECE
        marks = document.count(b"<", at, end)
        yield marks - sum(document.count(other, at, end + 1) for other in (b"</", b"<!", b"<?")) if marks else 0


def has(document: bytes, text: bytes) -> bool:
    """Return whether a document has this text anywhere."""
    more = len(text) - 1
    return any(document.find(text, at, at + PIECE + more) >= 0 for at in range(0, len(document), PIECE))


def _behind_blanks(document: bytes, at: int) -> int:
    """Return the position of the next character from *at* on that is no blank."""
    while at < len(document):
        piece = document[at : at + PIECE]
        left = piece.lstrip(_BLANKS)
        at += len(piece) - len(left)
        if left:
            break
    return at


def _behind(document: bytes, text: bytes, at: int) -> int:
    """Return the position behind the next such text from *at* on; -1 if there is none."""
    more = len(text) - 1
    for begin in range(at, len(document), PIECE):
        found = document.find(text, begin, begin + PIECE + more)
        if found >= 0:
            return found + len(text)
    return -1
