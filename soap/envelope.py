"""Bytes and envelopes: the one XML parser, hardened, and the SOAP 1.2 envelope around every message.

What never gets past here: document types, processing instructions, other encodings than UTF-8 and UTF-16 with a byte
order mark, and trees made to be expensive. Source: WS-DSP digest, section 12 (quirk 9); the rulings on XML; threats
X1 to X8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.soap import addressing, faults, ns
from postscan.soap.answer import attribute, escape, write
from postscan.soap.elements import trim
from postscan.soap.vocabulary import Vocabulary, apart

__all__ = ["Envelope", "attribute", "escape", "parse", "read", "write"]

DEEPEST: Final = 64
MOST_ELEMENTS: Final = 10_000
MOST_ATTRIBUTES: Final = 500
LONGEST_ATTRIBUTE: Final = 64 * 1024

_UTF8_MARK: Final = b"\xef\xbb\xbf"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_DECLARATION: Final = re.compile(rb"<\?xml[ \t\r\n][^>]*?\?>")
_ENCODING: Final = re.compile(rb"""[ \t\r\n]encoding[ \t\r\n]*=[ \t\r\n]*["']([^"']*)["']""")
_DOCUMENT_TYPE: Final = re.compile(rb"(?:[ \t\r\n]+|<!--.*?-->|<\?.*?\?>)*+<!DOCTYPE", re.DOTALL)
_VOCABULARY: Final = Vocabulary()
_STYLED: Final = etree.XPath("boolean(//@soap:encodingStyle)", namespaces={"soap": ns.SOAP})


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message: its header blocks, and the one element in its body; the Body itself if it is empty."""

    headers: tuple[etree._Element, ...]
    body: etree._Element


def read(data: bytes) -> Envelope:
    """Return the message in *data*; raise `Fault` if it is none.

    When the header could be read, the fault knows the message that it relates to.
    """
    root = parse(data)
    if root.tag != ns.soap("Envelope"):
        raise faults.version_mismatch(soap11=root.tag == f"{{{ns.SOAP11}}}Envelope")
    headers = tuple(block for header in root.findall(ns.soap("Header")) for block in header)
    try:
        return Envelope(headers, _body(root))
    except faults.Fault as fault:
        fault.relates_to = addressing.message_id(headers)
        raise


def parse(data: bytes, *, heed_declaration: bool = True) -> etree._Element:
    """Return the root of the document in *data*; raise `Fault` with the reason if it is refused.

    Comments are dropped. A declared encoding must be the real one; with *heed_declaration* off it is ignored, for
    text that was taken out of a directory together with its old declaration.
    """
    document = _undeclared(data, heed_declaration=heed_declaration)
    if _DOCUMENT_TYPE.match(document):
        raise faults.malformed("a document type is not allowed")
    try:
        familiar = _VOCABULARY.is_familiar(document)
        root = _tree(document) if familiar else apart(lambda: _tree(document))
    except etree.XMLSyntaxError as error:
        raise faults.malformed(f"not well-formed XML: {' '.join(error.msg.split())}") from None
    _check_size(root)
    return root


def _tree(document: bytes) -> etree._Element:
    """Parse with a parser of this message's own: it costs a microsecond, and nothing is shared between threads."""
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=False,  # kept to be seen, and refused
    )
    return etree.fromstring(document, parser)


def _undeclared(data: bytes, *, heed_declaration: bool) -> bytes:
    """Return the document as UTF-8, without byte order mark, leading blanks and XML declaration."""
    text, encodings = _to_utf8(data)
    text = text.lstrip(b" \t\r\n")
    declaration = _DECLARATION.match(text)
    if declaration is None:
        return text
    declared = _ENCODING.search(declaration[0])
    if heed_declaration and declared and declared[1].lower() not in encodings:
        name = declared[1].decode("utf-8", "replace")[:40]
        raise faults.malformed(f"the encoding {name!r} is declared; expected UTF-8, or UTF-16 with its byte order mark")
    return text[declaration.end() :]


def _to_utf8(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the same text in UTF-8, and the names that its declaration may give its encoding.

    Without the byte order mark of UTF-16 it is taken for UTF-8, and the parser refuses what is not.
    """
    if not data.startswith(_UTF16_MARKS):
        return data.removeprefix(_UTF8_MARK), (b"utf-8", b"utf8", b"us-ascii")
    try:
        return data.decode("utf-16").encode(), (b"utf-16",)
    except UnicodeError as error:
        raise faults.malformed(f"broken UTF-16: {error}") from None


def _check_size(root: etree._Element) -> None:
    """Refuse processing instructions, and trees that are deeper, wider or fuller than any message has to be."""
    if root.getprevious() is not None or root.getnext() is not None:
        raise _instruction()
    level, depth, count = [root], 0, 0
    while level:
        depth, count = depth + 1, count + len(level)
        if depth > DEEPEST:
            raise faults.malformed(f"elements are nested more than {DEEPEST} deep")
        if count > MOST_ELEMENTS:
            raise faults.malformed(f"more than {MOST_ELEMENTS} elements")
        for element in level:
            _check_element(element)
        level = [child for element in level for child in element]


def _check_element(element: etree._Element) -> None:
    if not isinstance(element.tag, str):
        raise _instruction()
    attributes = element.attrib
    if not attributes:
        return
    if len(attributes) > MOST_ATTRIBUTES:
        raise faults.malformed(f"an element has more than {MOST_ATTRIBUTES} attributes")
    if max(map(len, attributes.values())) > LONGEST_ATTRIBUTE:
        raise faults.malformed(f"an attribute is longer than {LONGEST_ATTRIBUTE} characters")


def _instruction() -> faults.Fault:
    return faults.malformed("a processing instruction is not allowed")


def _body(root: etree._Element) -> etree._Element:
    """Return the element in the body, or else the body, of an envelope that is built as it must be."""
    names = [child.tag for child in root]
    if names not in ([ns.soap("Header"), ns.soap("Body")], [ns.soap("Body")]):
        raise faults.malformed("expected an Envelope of at most one Header and then one Body")
    if _STYLED(root):
        raise faults.malformed("an encodingStyle is given; expected literal XML")
    content = list(root[-1])
    if len(content) > 1:
        raise faults.malformed(f"the Body holds {len(content)} elements; expected at most one")
    if not content and trim(root[-1].text):
        raise faults.malformed("the Body holds text; expected one element, or nothing")
    return content[0] if content else root[-1]
