"""The one XML parser: hardened, with limits, for UTF-8 and UTF-16."""

from __future__ import annotations

import threading
from typing import Final

from lxml import etree

from postscan.soap.xml import document_bytes
from postscan.soap.xml.name_cache import NameCache, in_own_thread

DEEPEST: Final = 64
MOST_ELEMENTS: Final = 10_000
MOST_ATTRIBUTES: Final = 500
LONGEST_ATTRIBUTE: Final = 64 * 1024
_UTF8_MARK: Final = b"\xef\xbb\xbf"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_NAMES: Final = NameCache()


class XmlError(ValueError):
    """The document is refused; the text is the reason."""


def parse(data: bytes, *, heed_declaration: bool = True) -> etree._Element:
    """Return the root element of the document in *data*; raise `XmlError` if it is refused.

    Comments are dropped. A declared encoding must be the real one; without *heed_declaration* it is ignored, for
    text that a directory returns with the declaration of another encoding.
    """
    document = _undeclared(data, heed_declaration=heed_declaration)
    if reason := document_bytes.refusal(document):
        raise XmlError(reason)
    _check_elements(document)
    try:
        root = _tree(document) if _NAMES.admits(document) else in_own_thread(lambda: _tree(document))
    except etree.XMLSyntaxError as error:
        raise XmlError(f"not well-formed XML: {' '.join(error.msg.split())}") from None
    if _may_exceed(document):
        _check_size(root)
    return root


def may_name(data: bytes, name: str) -> bool:
    """Return whether an element or attribute of the document in *data* may have this local name: if its bytes do."""
    return data.startswith(_UTF16_MARKS) or document_bytes.has(data, name.encode())


def _tree(document: bytes) -> etree._Element:
    """Parse with a new parser: it costs a microsecond, and threads share no state."""
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=False,  # kept, so that `_check_size` refuses them
    )
    return etree.fromstring(document, parser)


def _undeclared(data: bytes, *, heed_declaration: bool) -> bytes:
    """Return the document as UTF-8, without byte order mark, leading blanks and XML declaration."""
    text, encodings = _to_utf8(data)
    text = document_bytes.without_blanks(text)
    if not document_bytes.begins_declaration(text):
        return text
    declaration = document_bytes.declaration(text)
    if declaration is None:
        raise XmlError(f"the XML declaration has no end within {document_bytes.LONGEST_DECLARATION} bytes")
    declared = document_bytes.encoding(declaration[0])
    if heed_declaration and declared is not None and declared.lower() not in encodings:
        name = declared.decode("utf-8", "replace")[:40]
        raise XmlError(f"the encoding {name!r} is declared; expected UTF-8, or UTF-16 with its byte order mark")
    return text[declaration.end() :]


def _to_utf8(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the same text in UTF-8, and the names that its declaration may give its encoding.

    A document without the byte order mark of UTF-16 counts as UTF-8; the parser refuses it if it is not.
    """
    if not data.startswith(_UTF16_MARKS):
        return data.removeprefix(_UTF8_MARK), (b"utf-8", b"utf8", b"us-ascii")
    try:
        return document_bytes.from_utf16(data), (b"utf-16",)
    except UnicodeError as error:
        raise XmlError(f"broken UTF-16: {error}") from None


def _check_elements(document: bytes) -> None:
    """Raise `XmlError` before the document is parsed if it may have too many elements."""
    number = 0
    for more in document_bytes.elements(document):
        number += more
        if number > MOST_ELEMENTS:
            raise XmlError(f"more than {MOST_ELEMENTS} elements")


def _may_exceed(document: bytes) -> bool:
    """Return whether the tree of a document may exceed a limit; the bytes of a small one show that it does not.

    It has no more elements than `<`, no more attributes than `=`, and no attribute that is longer than itself.
    """
    return (
        len(document) > LONGEST_ATTRIBUTE  # first, since the others look at all of it
        or document.count(b"<") > DEEPEST
        or document.count(b"=") > MOST_ATTRIBUTES
        or b"<?" in document
    )


def _check_size(root: etree._Element) -> None:
    """Raise `XmlError` for processing instructions, and for trees that exceed the limits of this module."""
    if _checks("exceeds")(root):
        raise XmlError(next((reason for reason, _ in _LIMITS if _checks(reason)(root)), "the document is too large"))


_LIMITS: Final = (
    ("a processing instruction is not allowed", "boolean(//processing-instruction())"),
    (f"elements are nested more than {DEEPEST} deep", f"boolean({'/*' * (DEEPEST + 1)})"),
    (f"an element has more than {MOST_ATTRIBUTES} attributes", f"boolean(//*[count(@*) > {MOST_ATTRIBUTES}])"),
    (
        f"an attribute is longer than {LONGEST_ATTRIBUTE} characters",
        f"boolean(//@*[string-length() > {LONGEST_ATTRIBUTE}])",
    ),
)
"""Reasons, and the XPath expressions that are true for them: libxml2 evaluates these while other threads run."""

_EXPRESSIONS: Final = dict(_LIMITS) | {"exceeds": " or ".join(expression for _, expression in _LIMITS)}
_compiled: Final = threading.local()


def _checks(name: str) -> etree.XPath:
    """Return a compiled expression of this thread; one that threads share would make them wait for one another."""
    found: etree.XPath | None = getattr(_compiled, name, None)
    if found is None:
        found = etree.XPath(_EXPRESSIONS[name])
        setattr(_compiled, name, found)
    return found
