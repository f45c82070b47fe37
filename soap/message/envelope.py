"""The SOAP 1.2 envelope around every message, read with the hardened parser of `postscan.soap.xml.parser`.

The parser refuses document types, processing instructions, encodings other than UTF-8 and UTF-16 with a byte order
mark, and trees that exceed its limits; here its errors become faults. Source: ws-dsp.md section 12 (quirk 9);
ruling 19; T-X1 to T-X8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.soap.message import faults
from postscan.soap.xml import namespaces
from postscan.soap.xml.parser import XmlError, may_name, parse
from postscan.soap.xml.reading import trim
from postscan.soap.xml.writing import attribute, escape, write

__all__ = ["Envelope", "attribute", "escape", "parse", "read", "write"]


_HEADER: Final = namespaces.soap("Header")
_BODY: Final = namespaces.soap("Body")
_STYLED: Final = etree.XPath("boolean(//@soap:encodingStyle)", namespaces={"soap": namespaces.SOAP})


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message: its header blocks, and the one element in its Body, or the Body itself if that is empty."""

    headers: tuple[etree._Element, ...]
    body: etree._Element


def read(data: bytes) -> Envelope:
    """Return the message in *data*; raise `Fault` if it is none."""
    root = parse_envelope(data)
    return Envelope(headers(root), body(root, data))


def parse_envelope(data: bytes) -> etree._Element:
    """Return the Envelope element that *data* holds; raise `Fault` if it holds something else."""
    try:
        root = parse(data)
    except XmlError as error:
        raise faults.malformed(str(error)) from None
    if root.tag != namespaces.soap("Envelope"):
        raise faults.version_mismatch(soap11=root.tag == f"{{{namespaces.SOAP11}}}Envelope")
    return root


def headers(root: etree._Element) -> tuple[etree._Element, ...]:
    """Return the header blocks of an envelope."""
    return tuple(block for child in root if child.tag == _HEADER for block in child)


def body(root: etree._Element, data: bytes) -> etree._Element:
    """Return the element in the Body of an envelope, or the Body if it is empty; raise `Fault` if it is malformed.

    *data* is the document that *root* was parsed from.
    """
    names = [child.tag for child in root]
    if names not in ([_HEADER, _BODY], [_BODY]):
        raise faults.malformed("expected an Envelope of at most one Header and then one Body")
    if may_name(data, "encodingStyle") and _STYLED(root):
        raise faults.malformed("an encodingStyle is given; expected literal XML")
    content = list(root[-1])
    if len(content) > 1:
        raise faults.malformed(f"the Body holds {len(content)} elements; expected at most one")
    if not content and trim(root[-1].text):
        raise faults.malformed("the Body holds text; expected one element, or nothing")
    return content[0] if content else root[-1]
