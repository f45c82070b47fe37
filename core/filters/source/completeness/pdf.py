"""PDF: the last startxref before %%EOF leads to a cross-reference table or stream, and from there to all earlier ones.

A file that ends with an earlier revision is whole: no byte of it refers to the later one. Of a linearized file the
first %%EOF stands near its begin; the table there refers to the one at the end.
Source: ISO 32000-2, sections 7.5.4 to 7.5.8, and annex F (linearized files).
"""

from __future__ import annotations

import re
from typing import Final

from postscan.core.filters.source.completeness.window import Cut, Unclear, Window

MOST_SECTIONS: Final = 1000
"""Cross-reference tables and streams: about one for each revision."""

MOST_PADDING: Final = 65_536
"""Bytes of blanks and NULs behind the last %%EOF."""

_CLOSING: Final = 4096  # bytes before the padding in which %%EOF is looked for; viewers take the last 1,024
_HEAD: Final = 1024  # bytes at the begin that have the dictionary of a linearized file
_DICTIONARY: Final = 32 * 1024  # bytes that are searched for the keys of a trailer

_SPACE: Final = rb"[\0\t\n\f\r ]"
_PADDING: Final = b"\0\t\n\f\r \x1a"
_END: Final = re.compile(rb"startxref%b+(\d{1,15})%b+%%%%EOF" % (_SPACE, _SPACE))
_MORE: Final = b"123456789xe"  # the first bytes of an object, of a table, and of what ends a stream or an object
_OBJECT: Final = re.compile(rb"\d{1,10}%b+\d{1,5}%b+obj\b" % (_SPACE, _SPACE))
_STREAM_TYPE: Final = re.compile(rb"/Type%b*/XRef\b" % _SPACE)
_TRAILER: Final = re.compile(rb"trailer")
_EARLIER: Final = re.compile(rb"/(?:Prev|XRefStm)%b+(\d{1,15})\b(?!%b+\d+%b+R)" % (_SPACE, _SPACE, _SPACE))
_LINEARIZED: Final = re.compile(rb"/Linearized\b")
_LENGTH: Final = re.compile(rb"/L%b*(\d{1,15})\b" % _SPACE)


def check(window: Window) -> None:
    """Return if the file is whole; raise `Cut` or `Unclear`."""
    first = _startxref(_closing(window))
    length = _linearized_length(window)
    if not first:
        text = "its startxref is 0"
        raise Cut(f"{text}, as at the begin of a linearized file") if length else Unclear(text)
    _check_sections(window, first)
    if length > window.size:
        raise Unclear(f"it was linearized with {length} bytes, and has {window.size}")


def _closing(window: Window) -> bytes:
    """Return the last bytes before the padding."""
    begin = max(window.size - MOST_PADDING, 0)
    end = begin + len(window.at(begin, window.size - begin).rstrip(_PADDING))
    if end == begin:
        raise Unclear(f"it ends with more than {MOST_PADDING} bytes of padding")
    begin = max(end - _CLOSING, 0)
    return window.at(begin, end - begin)


def _startxref(closing: bytes) -> int:
    """Return the number before the last end mark; raise `Cut` or `Unclear`."""
    ends = list(_END.finditer(closing))
    if not ends:
        if b"%%EOF" in closing:
            raise Unclear("there is no startxref before its end mark (%%EOF)")
        raise Cut("it has no end mark (%%EOF)")
    last = ends[-1]
    rest = closing[last.end() :].lstrip(_PADDING + b"%EOF")
    if rest:
        text = f"{len(rest)} bytes follow its end mark (%%EOF)"
        raise Cut(f"{text}, as if the file went on") if rest[:1] in _MORE else Unclear(text)
    return int(last[1])


def _linearized_length(window: Window) -> int:
    """Return how many bytes a linearized file had when it was made; 0 of another file."""
    head = window.at(0, min(_HEAD, window.size))
    length = _LENGTH.search(head) if _LINEARIZED.search(head) else None
    return int(length[1]) if length else 0


def _check_sections(window: Window, first: int) -> None:
    """Follow the cross-reference sections from the last one."""
    pending, seen = [first], set[int]()
    while pending:
        offset = pending.pop()
        if offset in seen:
            raise Unclear("its cross-reference sections form a ring")
        if len(seen) == MOST_SECTIONS:
            raise Unclear(f"it has more than {MOST_SECTIONS} cross-reference sections")
        seen.add(offset)
        # One of each name; a 0, which some writers leave, refers to nothing.
        pending += [number for number in map(int, _EARLIER.findall(_dictionary(window, offset))[:2]) if number]


def _dictionary(window: Window, offset: int) -> bytes:
    """Return the dictionary of a cross-reference section: the trailer of a table, or that of a stream."""
    window.require(offset + 1)
    begin = window.at(offset, min(_DICTIONARY, window.size - offset)).lstrip(_PADDING)
    if _OBJECT.match(begin):
        dictionary = begin.partition(b"stream")[0]
        if _STREAM_TYPE.search(dictionary):
            return dictionary
    elif begin.startswith(b"xref"):
        trailer = window.find(_TRAILER, offset, window.size, len(b"trailer"))
        if trailer is not None:
            return window.at(trailer, min(_DICTIONARY, window.size - trailer)).partition(b"startxref")[0]
    raise Unclear(f"no cross-reference table or stream is at byte {offset}")
