"""The XML of WebDAV bodies: read within bounds, and written; no I/O.

expat is used as it is: it keeps nothing when a document is read, whatever names it has, and a document type is refused
when it begins, before anything in it counts. There are no entities but the five of XML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from postscan.plugins.sources.web.body import HttpRefused

MOST_BYTES: Final = 64 * 1024
MOST_ELEMENTS: Final = 500
DEEPEST: Final = 16
LONGEST_NAME: Final = 256
DAV: Final = "DAV:"

_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

QName = tuple[str, str]
"""Namespace and local name."""


@dataclass(slots=True)
class XmlNode:
    """An element: its name, its text, and its children."""

    name: QName
    text: str = ""
    children: list[XmlNode] = field(default_factory=list)

    def child(self, name: str) -> XmlNode | None:
        """Return the first child of this name in `DAV:`, or None."""
        return next((one for one in self.children if one.name == (DAV, name)), None)

    def all(self, name: str) -> list[XmlNode]:
        """Return the children of this name in `DAV:`."""
        return [one for one in self.children if one.name == (DAV, name)]


def parse(data: bytes) -> XmlNode:
    """Return the root of a document; raise `HttpRefused` (400) if it is not well-formed, or exceeds a bound."""
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise HttpRefused(400, f"the body is not well-formed XML: {error}") from None
    assert reader.root is not None
    return reader.root


class _Reader:
    def __init__(self) -> None:
        self.root: XmlNode | None = None
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.ProcessingInstructionHandler = self._refuse
        self._open: list[XmlNode] = []
        self._count = 0

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        self._count += 1
        if self._count > MOST_ELEMENTS or len(self._open) >= DEEPEST or len(name) > LONGEST_NAME:
            raise HttpRefused(400, "the XML of the body has too many elements, too deep ones, or too long names")
        node = XmlNode((namespace, local))
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)

    def _end(self, _name: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        self._open[-1].text += text

    def _refuse(self, *_what: object) -> None:
        raise HttpRefused(400, "the XML of the body has a document type or a processing instruction")


def element(name: QName, *content: str) -> str:
    """Return an element with what is written already inside it; `DAV:` has the prefix D, others declare their own."""
    namespace, local = name
    inner = "".join(content)
    if namespace == DAV:
        start, end = f"D:{local}", f"D:{local}"
    elif namespace:
        start, end = f"p:{local} xmlns:p={quoteattr(text_of(namespace))}", f"p:{local}"
    else:
        start, end = local, local
    return f"<{start}>{inner}</{end}>" if inner else f"<{start}/>"


def dav(local: str, *content: str) -> str:
    """Return an element of `DAV:`."""
    return element((DAV, local), *content)


def text(value: str) -> str:
    """Return text as XML; what XML cannot have becomes a question mark."""
    return escape(text_of(value))


def text_of(value: str) -> str:
    """Return text without what XML cannot have."""
    return _UNWRITABLE.sub("?", value)


def document(root: str) -> bytes:
    """Return a document with the element *root* of `DAV:` as its root."""
    local, _, rest = root.removeprefix("<").partition(">")
    end = "/" if local.endswith("/") else ""
    name = local.removesuffix("/")
    declared = f'<?xml version="1.0" encoding="utf-8"?>\n<{name} xmlns:D="DAV:"{end}>{rest}'
    return declared.encode("utf-8", "replace")


def multistatus(responses: Iterable[str]) -> bytes:
    """Return the body of a 207 response."""
    return document(dav("multistatus", *responses))


def response(href: str, *propstats: tuple[str, list[str]]) -> str:
    """Return what a multistatus says of one path: a status and its properties, once or more."""
    return dav(
        "response",
        dav("href", text(href)),
        *(
            dav("propstat", dav("prop", *found), dav("status", text(f"HTTP/1.1 {status}")))
            for status, found in propstats
        ),
    )
