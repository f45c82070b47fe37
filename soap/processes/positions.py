"""Where the elements of a stored scan process are in its bytes, so that a change leaves all other bytes as they are.

A tree of lxml has no offsets, and what is written from it has other quotes, references and line ends than the file.
expat has the offsets. It gets only documents that `postscan.soap.xml.parser` has accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from xml.parsers import expat

from postscan.core.errors import InvalidArgument
from postscan.soap.xml import document_bytes, namespaces

_UTF8_MARK: Final = b"\xef\xbb\xbf"
_UTF16: Final = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_TAG: Final = re.compile(rb"""<([^\s/>]+)(?:[^>"']|"[^"]*"|'[^']*')*>""")
_LAYOUT: Final = re.compile(rb"\r?\n[ \t]*\Z")


@dataclass(slots=True)
class ElementPosition:
    """One element: its Clark name, its name as it is written, and its offsets in the document.

    `begin` and `end` enclose it, `content` and `content_end` what is between its tags. Of an element without an end tag
    (`<a/>`) the last three are the same. `layout` is the line end before it with the blanks after that, or nothing.
    """

    clark: str
    written: bytes
    begin: int
    content: int
    content_end: int
    end: int
    layout: bytes
    is_bare: bool
    has_attributes: bool = False
    children: list[ElementPosition] = field(default_factory=list)

    @property
    def prefix(self) -> bytes:
        """The prefix of its name with the colon, which has the same meaning for elements inside it; or nothing."""
        before, colon, _ = self.written.rpartition(b":")
        return before + colon

    def named(self, clark: str) -> list[ElementPosition]:
        """Return the children of this name."""
        return [child for child in self.children if child.clark == clark]


class Replacement(NamedTuple):
    """New bytes for those from `begin` to `end`; the two are the same where bytes are inserted."""

    begin: int
    end: int
    data: bytes


@dataclass(frozen=True, slots=True)
class ProcessDocument:
    """The bytes of a scan process: `body` is the text in UTF-8 without the declaration, `head` what is before it.

    `mark` is the byte order mark of the file, or nothing.
    """

    mark: bytes
    head: bytes
    body: bytes

    @classmethod
    def of(cls, data: bytes) -> ProcessDocument:
        """Return the parts of a file that the parser has accepted."""
        mark = next((one for one in (*_UTF16, _UTF8_MARK) if data.startswith(one)), b"")
        text = document_bytes.from_utf16(data) if mark in _UTF16 else data[len(mark) :]
        body = document_bytes.without_blanks(text)
        if document_bytes.begins_declaration(body):
            declaration = document_bytes.declaration(body)
            body = body[declaration.end() :] if declaration else body
        return cls(mark, text[: len(text) - len(body)], body)

    def as_bytes(self) -> bytes:
        """Return the file, in the encoding that it had."""
        text = self.head + self.body
        return self.mark + (text.decode().encode(_UTF16[self.mark]) if self.mark in _UTF16 else text)

    def changed(self, replacements: Iterable[Replacement]) -> ProcessDocument:
        """Return the document with these bytes replaced; no two of the replacements overlap."""
        return ProcessDocument(self.mark, self.head, b"".join(self._pieces(replacements)))

    def _pieces(self, replacements: Iterable[Replacement]) -> Iterator[bytes]:
        at = 0
        for one in sorted(replacements, key=lambda one: (one.begin, one.end)):
            yield self.body[at : one.begin]
            yield one.data
            at = one.end
        yield self.body[at:]

    def root(self) -> ElementPosition:
        """Return the positions of all elements; raise `InvalidArgument` for what expat does not accept."""
        try:
            return _Positions(self.body).root
        except expat.ExpatError as error:
            raise InvalidArgument(namespaces.psp("PostScanProcess"), "its XML", f"XML, but: {error}") from None


class _Positions:
    """Collects the positions while expat parses."""

    root: ElementPosition

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._open: list[ElementPosition] = []
        self._parser = expat.ParserCreate("utf-8", "}")  # a name is then `namespace}local`
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.Parse(body, True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        begin = self._parser.CurrentByteIndex
        tag = _TAG.match(self._body, begin)
        assert tag  # expat has accepted it
        is_bare = tag[0].endswith(b"/>")
        found = ElementPosition(
            clark=f"{{{name}" if "}" in name else name,
            written=tag[1],
            begin=begin,
            content=tag.end(),
            content_end=tag.end(),
            end=tag.end(),
            layout=self._layout(begin),
            is_bare=is_bare,
            has_attributes=bool(attributes),
        )
        if self._open:
            self._open[-1].children.append(found)
        self._open.append(found)

    def _end(self, _name: str) -> None:
        ended = self._open.pop()
        if not ended.is_bare:
            ended.content_end = self._parser.CurrentByteIndex
            ended.end = self._body.index(b">", ended.content_end) + 1
        if not self._open:
            self.root = ended

    def _layout(self, begin: int) -> bytes:
        found = _LAYOUT.search(self._body, max(0, begin - 200), begin)
        return found[0] if found else b""
