"""The parts of a mail, as ranges of its bytes.

A multipart is cut at its delimiters first, then each of its parts, so that a part without an end cannot reach beyond
what holds it. A mail within a mail (`message/rfc822`) is a part with one part in it. Number, depth and fields are
bounded; each level reads its bytes once more, so the time is at most the depth times the size.

Source: RFC 2046 sections 5.1 and 5.2.1; RFC 5322.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from postscan.plugins.sources.smtp.message.fields import BLOCK, Fields, end_of_block
from postscan.plugins.sources.smtp.replies import NOT_USABLE, Rejected

PARTS: Final = 2000
"""Most parts of a mail, multiparts and mails within it included."""

DEPTH: Final = 12
"""Most parts and mails one in the other."""

FIELDS: Final = 2 << 20
"""Most bytes of all fields of a mail."""

MAILS: Final = ("message/rfc822", "message/global")
"""The types of a mail within a mail."""

BOUNDARY: Final = 200
"""Most bytes of a boundary; the standard allows 70."""

_WINDOW: Final = 1 << 20  # bytes that are searched at once; other threads wait meanwhile
_BLANKS: Final = 200  # most blanks behind a delimiter


class Content(Protocol):
    """The bytes of a mail, of which pieces are read: `bytes`, or a file."""

    def __len__(self) -> int:
        """Return the size."""

    def __getitem__(self, piece: slice, /) -> bytes:
        """Return the bytes from one place to another."""


@dataclass(frozen=True)
class Part:
    """A mail, or a part of it: its media type, its fields, and where its body begins and ends.

    `whole` is false if what ends it was not found: the next delimiter, or the closing one. `holds` says that it has
    parts, which come right behind it.
    """

    kind: str
    fields: Fields
    start: int
    end: int
    depth: int
    whole: bool
    holds: bool = False


def parts(content: Content) -> list[Part]:
    """Return the mail itself and all its parts in their order; raise `Rejected` beyond a bound."""
    return _PartReader(content).parts


class _PartReader:
    def __init__(self, content: Content) -> None:
        self._content = content
        self._left = FIELDS
        self.parts: list[Part] = []
        self._read(0, len(content), 0, whole=True)

    def _read(self, start: int, end: int, depth: int, *, whole: bool, default: str = "text/plain") -> None:
        """Add what lies between these two places, and what it holds; *default* is its type if it names none."""
        if len(self.parts) == PARTS:
            raise Rejected(NOT_USABLE, f"the mail has more than {PARTS:,} parts")
        if depth == DEPTH:
            raise Rejected(NOT_USABLE, f"the mail has more than {DEPTH} parts one in the other")
        fields, body = self._fields(start, end)
        kind = fields.media_type or default
        holds = kind.startswith("multipart/") or kind in MAILS
        self.parts.append(Part(kind, fields, body, end, depth, whole, holds))
        if kind in MAILS:
            self._read(body, end, depth + 1, whole=whole)
        elif holds:
            default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
            for first, last, ended in self._cut(fields.boundary, body, end):
                self._read(first, last, depth + 1, whole=whole and ended, default=default)

    def _fields(self, start: int, end: int) -> tuple[Fields, int]:
        """Return the fields at *start*, and where the body behind them begins."""
        block = self._content[start : min(end, start + BLOCK)]
        size = end_of_block(block)
        if size < 0 and start + BLOCK < end:
            raise Rejected(NOT_USABLE, f"the fields of a part have more than {BLOCK:,} bytes")
        size = len(block) if size < 0 else size
        self._left -= size
        if self._left < 0:
            raise Rejected(NOT_USABLE, f"the fields of the mail have more than {FIELDS:,} bytes")
        return Fields(block[:size]), start + size

    def _cut(self, boundary: bytes, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Yield begin and end of each part, and whether a delimiter ends it."""
        if not 0 < len(boundary) <= BOUNDARY:
            raise Rejected(NOT_USABLE, f"a multipart has no boundary; expected one of 1 to {BOUNDARY} bytes")
        first, closed = -1, False
        for before, behind, closing in self._delimiters(b"--" + boundary, start, end):
            if closed:  # a program that reads on finds other parts than one that does not
                raise Rejected(NOT_USABLE, "a multipart goes on after its end")
            if first >= 0:
                yield first, max(first, before), True
            first, closed = behind, closing
        if not closed:
            yield (first if first >= 0 else start), end, False

    def _delimiters(self, mark: bytes, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Yield where each delimiter begins, with the end of the line before it, where it ends, and if it closes."""
        line = re.compile(rb"\n" + re.escape(mark) + rb"(--)?[ \t]{0,%d}(?=(\r?\n|\Z))" % _BLANKS)
        longest = len(mark) + _BLANKS + len(b"\n--\r\n")
        for window in range(start - 1, end, _WINDOW):  # the empty line behind the fields ends there
            for found in line.finditer(self._content[window : min(end, window + _WINDOW + longest)]):
                if found.start() >= _WINDOW:
                    break
                at = window + found.start()
                before = at - 1 if at > start and self._content[at - 1 : at] == b"\r" else at
                yield before, window + found.end(2), found[1] is not None
