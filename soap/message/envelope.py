"""Bytes and envelopes: the one XML parser, hardened, and the SOAP 1.2 envelope around every message.

What never gets past here: document types, processing instructions, other encodings than UTF-8 and UTF-16 with a byte
order mark, and trees made to be expensive. Source: ws-dsp.md section 12 (quirk 9); ruling 19; T-X1 to
T-X8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.soap.message import addressing, faults
from postscan.soap.xml import namespaces
from postscan.soap.xml.parser import XmlError, parse
from postscan.soap.xml.reading import trim
from postscan.soap.xml.writing import attribute, escape, write

__all__ = ["Envelope", "attribute", "escape", "parse", "read", "write"]


_STYLED: Final = etree.XPath("boolean(//@soap:encodingStyle)", namespaces={"soap": namespaces.SOAP})


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message: its header blocks, and the one element in its body; the Body itself if it is empty."""

    headers: tuple[etree._Element, ...]
    body: etree._Element


def read(data: bytes) -> Envelope:
    """Return the message in *data*; raise `Fault` if it is none.

    When the header could be read, the fault knows the message that it relates to.
    """
    try:
        root = parse(data)
    except XmlError as error:
        raise faults.malformed(str(error)) from None
    if root.tag != namespaces.soap("Envelope"):
        raise faults.version_mismatch(soap11=root.tag == f"{{{namespaces.SOAP11}}}Envelope")
    headers = tuple(block for header in root.findall(namespaces.soap("Header")) for block in header)
    try:
        return Envelope(headers, _body(root))
    except faults.Fault as fault:
        fault.relates_to = addressing.message_id(headers)
        raise


def _body(root: etree._Element) -> etree._Element:
    """Return the element in the body, or else the body, of an envelope that is built as it must be."""
    names = [child.tag for child in root]
    if names not in ([namespaces.soap("Header"), namespaces.soap("Body")], [namespaces.soap("Body")]):
        raise faults.malformed("expected an Envelope of at most one Header and then one Body")
    if _STYLED(root):
        raise faults.malformed("an encodingStyle is given; expected literal XML")
    content = list(root[-1])
    if len(content) > 1:
        raise faults.malformed(f"the Body holds {len(content)} elements; expected at most one")
    if not content and trim(root[-1].text):
        raise faults.malformed("the Body holds text; expected one element, or nothing")
    return content[0] if content else root[-1]
